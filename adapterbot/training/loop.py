"""The training loop of replies: epochs over batches of rows, the best epoch's weights, and a stop where none improves.

An adapter and a whole backbone learn by the same loop; what differs are the weights that the loss has gradients in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from adapterbot.errors import AdapterbotError
from adapterbot.network.checkpoint import signals_deferred
from adapterbot.spec.tables import TrainTable
from adapterbot.training.schedule import CLIP, FEWEST_STEPS, batches, learning_rate
from adapterbot.training.workers import Workers

Batch = Sequence[Any]  # of Prompts or Trees


@dataclass(slots=True)
class LoopState:
    """How far a training is: `step` counts all updates, `stale` the epochs since the best validation perplexity."""

    step: int = 0
    epoch: int = 0
    stale: int = 0
    valid: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) after which validation was best; 0 before the first has ended."""
        return self.valid.index(min(self.valid)) + 1 if self.valid else 0

    def end_epoch(self, perplexity: float) -> bool:
        """Note an epoch's validation perplexity; returns whether it is the best so far."""
        best = not self.valid or perplexity < min(self.valid)
        self.epoch += 1
        self.stale = 0 if best else self.stale + 1
        self.valid.append(perplexity)
        return best


@dataclass(slots=True)
class TrainingLoop:
    """One training over `rows`, of at most `epochs` epochs, and fewer where validation stops improving.

    `loss` gives the mean nats per reply token of a batch, with gradients in the parameters of `learner`; `validate` the
    perplexity on the validation replies; `weights` what is to be kept of the best epoch. `remedy` ends the message of a
    training that has blown up.

    Each of the `workers` goes through its share of a batch in `pieces`, one after the other (gradient accumulation), so
    that less memory is needed; `learnt` says how many tokens the loss of some rows is the mean over. The result is that
    of one process and one piece, up to rounding.
    """

    learner: nn.Module
    rows: Sequence[Any]
    loss: Callable[[Batch], Tensor]
    validate: Callable[[], float]
    weights: Callable[[], Mapping[str, Tensor]]
    optimizer: torch.optim.Optimizer
    rate: float
    table: TrainTable
    epochs: int
    seed: int
    remedy: str
    state: LoopState
    best: dict[str, Tensor]
    learnt: Callable[[Batch], int] = len
    workers: Workers = field(default_factory=Workers)
    pieces: int = 1

    @property
    def batch_size(self) -> int:
        """Rows per update: fewer than the table says where an epoch would have too few updates."""
        return max(1, min(self.table.batch, len(self.rows) // FEWEST_STEPS))

    @property
    def steps_per_epoch(self) -> int:
        """Updates of one epoch."""
        return math.ceil(len(self.rows) / self.batch_size)

    @property
    def steps(self) -> int:
        """Updates of all epochs, if none is left out at the end."""
        return self.steps_per_epoch * self.epochs

    def run(
        self,
        on_update: Callable[[Batch, float], None],
        on_epoch: Callable[[], None] = lambda: None,
        *,
        save: Callable[[], None] = lambda: None,
        checkpoint_seconds: float = math.inf,
    ) -> None:
        """Train from where `state` stands to the end; `on_update` is told each batch and its loss.

        `save` is called before the first update, every `checkpoint_seconds` and after each epoch.

        Raises:
            AdapterbotError: a loss or a validation perplexity is no number, or infinite.
        """
        save()  # a place that cannot be written shows now, not after the work
        try:
            self._epochs(on_update, on_epoch, save, checkpoint_seconds)
        except KeyboardInterrupt:
            save()
            raise

    def _epochs(
        self,
        on_update: Callable[[Batch, float], None],
        on_epoch: Callable[[], None],
        save: Callable[[], None],
        checkpoint_seconds: float,
    ) -> None:
        state = self.state
        saved = time.monotonic()
        while state.epoch < self.epochs and state.stale < self.table.patience:
            done = state.step - state.epoch * self.steps_per_epoch
            for batch in batches(self.rows, self.batch_size, f"{self.seed} {state.epoch}", done):
                with signals_deferred():
                    loss = self._update(batch)
                    state.step += 1
                on_update(batch, loss)
                if time.monotonic() - saved > checkpoint_seconds and state.step % self.steps_per_epoch:
                    save()
                    saved = time.monotonic()
            self._end_epoch()
            save()
            on_epoch()

    def _update(self, batch: Batch) -> float:
        """Change the weights once; returns the loss."""
        rate = self.rate * learning_rate(self.state.step, self.steps, self.table.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._gradients(batch)
        if not math.isfinite(loss):
            raise AdapterbotError(f"the loss is {loss} at step {self.state.step}; {self.remedy}")
        nn.utils.clip_grad_norm_(self.learner.parameters(), CLIP)
        self.optimizer.step()
        return loss

    def _gradients(self, batch: Batch) -> float:
        """The loss of a batch, whose gradients are in the learner's weights then."""
        self.optimizer.zero_grad(set_to_none=True)
        mine, whole = self.workers.share(batch), self.learnt(batch)
        size = max(1, math.ceil(len(mine) / self.pieces))
        total = torch.zeros(())
        for start in range(0, len(mine), size):
            piece = mine[start : start + size]
            loss = self.loss(piece)
            if len(piece) < len(batch):
                loss = loss * (self.learnt(piece) / whole)
            loss.backward()
            total = total + loss.detach().cpu()
        return self.workers.sum_gradients(self.learner, total)

    def _end_epoch(self) -> None:
        """Validate, and keep the weights if they are the best so far."""
        perplexity = self.validate()
        if not math.isfinite(perplexity):
            raise AdapterbotError(f"the perplexity is {perplexity} after epoch {self.state.epoch + 1}; {self.remedy}")
        if self.state.end_epoch(perplexity):
            self.best = {name: tensor.clone() for name, tensor in self.weights().items()}
