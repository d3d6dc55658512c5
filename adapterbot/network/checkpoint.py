"""The state of a training that has not ended: one safetensors file, by rename, that a killed run goes on from."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adapterbot.errors import AdapterbotError
from adapterbot.home import written_by_rename

FILE = "checkpoint.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


class Learner(Protocol):
    """What is trained: an adapter, or the update of an encoder."""

    def tensors(self) -> dict[str, Tensor]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


@dataclass(slots=True)
class Checkpoint:
    """Where a training stands. `step` counts all updates, `stale` the epochs since the best validation."""

    folder: Path
    key: str
    best: dict[str, Tensor]
    learner: Learner
    step: int = 0
    epoch: int = 0
    stale: int = 0
    valid: list[float] = field(default_factory=list)
    moments: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, key: str, learner: Learner) -> Checkpoint:
        """The checkpoint in `folder` if it has this key (of spec, data, model, length and seed), else a fresh one.

        Its weights are put into `learner`.
        """
        fresh = cls(folder, key, {n: t.clone() for n, t in learner.tensors().items()}, learner)
        try:
            with safe_open(folder / FILE, framework="pt") as file:
                state = json.loads((file.metadata() or {})["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except (OSError, SafetensorError, KeyError, ValueError):
            return fresh  # none there, or damaged: start again
        if state.pop("key") != key:
            return fresh
        part = {p: _part(tensors, p) for p in ("now", "best", *MOMENTS)}
        with torch.no_grad():
            for name, parameter in learner.named_parameters():
                parameter.copy_(part["now"][name])
        moments = {f"{m}/{n}": t for m in MOMENTS for n, t in part[m].items()}
        return cls(folder, key, part["best"], learner, moments=moments, **state)

    def optimizer(self, module: nn.Module, lr: float) -> torch.optim.AdamW:
        """AdamW over the learner's module, with the moments of the checkpoint."""
        optimizer = torch.optim.AdamW(module.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01)
        self.restore(optimizer)
        return optimizer

    def restore(self, optimizer: torch.optim.AdamW) -> None:
        """Put the moments of the checkpoint, if it has any, into an optimizer of the learner."""
        for name, parameter in self.learner.named_parameters() if self.moments else ():
            optimizer.state[parameter] = {
                "step": torch.tensor(float(self.step)),
                **{m: self.moments[f"{m}/{name}"].to(parameter.device, copy=True) for m in MOMENTS},
            }

    def end_epoch(self, perplexity: float) -> None:
        """Note an epoch's validation perplexity; keep the weights if they are the best so far.

        Raises:
            AdapterbotError: the perplexity is no number, or infinite: the training has blown up.
        """
        if not math.isfinite(perplexity):
            raise AdapterbotError(
                f"the perplexity is {perplexity} after epoch {self.epoch + 1}; lower train.lr in skill.toml"
            )
        self.epoch += 1
        if not self.valid or perplexity < min(self.valid):
            self.best = {n: t.clone() for n, t in self.learner.tensors().items()}
            self.stale = 0
        else:
            self.stale += 1
        self.valid.append(perplexity)

    def save(self, optimizer: torch.optim.Optimizer) -> None:
        """Write everything to one file, by rename: a kill at any moment leaves the old state or the new one."""
        tensors = {f"best/{n}": t.contiguous() for n, t in self.best.items()}
        for name, parameter in self.learner.named_parameters():
            tensors[f"now/{name}"] = parameter.detach().contiguous()
            for moment in MOMENTS:
                known = optimizer.state[parameter].get(moment) if parameter in optimizer.state else None
                tensors[f"{moment}/{name}"] = torch.zeros_like(parameter) if known is None else known
        state = {"key": self.key, "step": self.step, "epoch": self.epoch, "stale": self.stale, "valid": self.valid}
        with written_by_rename(self.folder / FILE) as temporary:
            save_file(tensors, temporary, {"state": json.dumps(state)})

    def remove(self) -> None:
        """Delete the checkpoint: the training has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}
