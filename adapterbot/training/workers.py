"""Several processes that train one adapter together, as `accelerate launch` starts them: each has a share of every
batch, and the gradients of all are summed before the weights change (data parallelism: Li et al. 2020, arXiv
2006.15704).

The loss is the mean over the tokens of the whole batch, whichever process they fall to. So the result is that of one
process, up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from adapterbot.errors import MissingPartError

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes of a training: this one is number `index` of `count`. By itself: one that is alone."""

    index: int = 0
    count: int = 1
    state: Any = None  # accelerate's, where there are several

    @classmethod
    def here(cls) -> Workers:
        """This process among those that it was started with (torchrun's WORLD_SIZE tells how many they are).

        Raises:
            MissingPartError: there are several, and accelerate is not installed.
        """
        if int(os.environ.get("WORLD_SIZE") or "1") < 2:
            return cls()
        try:
            from accelerate import PartialState
        except ImportError:
            raise MissingPartError(
                "training in several processes needs accelerate: pip install 'adapterbot[scale]'"
            ) from None
        state = PartialState(cpu=not torch.cuda.is_available())
        return cls(state.process_index, state.num_processes, state)

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.index == 0

    def share(self, rows: Sequence[Row]) -> Sequence[Row]:
        """This process's part of some rows, which may be none of them."""
        return rows[self.index :: self.count]

    def summed(self, values: Tensor) -> Tensor:
        """The sum [n] of all processes' values [n]; each of them gets it."""
        if self.count == 1:
            return values
        from accelerate.utils import reduce

        there: Tensor = reduce(values.to(self.state.device), "sum")
        return there.to(values.device)

    def sum_gradients(self, learner: nn.Module, loss: Tensor) -> float:
        """Put the sum of all processes' gradients into the learner's weights; returns the sum of their losses []."""
        if self.count == 1:
            return float(loss)
        learnt = [weight for weight in learner.parameters() if weight.requires_grad]
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in learnt]
        flat = torch.cat([*(gradient.flatten().float() for gradient in gradients), loss.detach().float()[None]])
        *summed, total = self.summed(flat).split([*(weight.numel() for weight in learnt), 1])
        for weight, gradient in zip(learnt, summed, strict=True):
            weight.grad = gradient.view_as(weight).to(weight.dtype)
        return float(total)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.state is not None:
            self.state.wait_for_everyone()
