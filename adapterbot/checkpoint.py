"""The state of a training that has not ended: one safetensors file, by rename, that a killed run goes on from."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from adapterbot.adapters import Adapter
from adapterbot.errors import AdapterbotError
from adapterbot.home import written_by_rename

FILE = "checkpoint.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(slots=True)
class Checkpoint:
    """Where a training stands. `step` counts all updates, `stale` the epochs since the best validation."""

    folder: Path
    key: str
    best: dict[str, Tensor]
    step: int = 0
    epoch: int = 0
    stale: int = 0
    valid: list[float] = field(default_factory=list)
    moments: dict[str, Tensor] = field(default_factory=dict)
    adapter: Adapter | None = None

    @classmethod
    def open(cls, folder: Path, key: str, adapter: Adapter) -> Checkpoint:
        """The checkpoint in `folder` if it belongs to the same spec, data, backbone, epochs and seed, else a fresh one.

        Its weights are put into `adapter`.
        """
        fresh = cls(folder, key, {n: t.clone() for n, t in adapter.tensors().items()}, adapter=adapter)
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
            for name, parameter in adapter.named_parameters():
                parameter.copy_(part["now"][name])
        moments = {f"{m}/{n}": t for m in MOMENTS for n, t in part[m].items()}
        return cls(folder, key, part["best"], moments=moments, adapter=adapter, **state)

    def optimizer(self, adapter: Adapter, lr: float) -> torch.optim.AdamW:
        """AdamW over the adapter, with the moments of the checkpoint."""
        optimizer = torch.optim.AdamW(adapter.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01)
        if self.moments:
            for name, parameter in adapter.named_parameters():
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.step)),
                    **{m: self.moments[f"{m}/{name}"].to(parameter.device, copy=True) for m in MOMENTS},
                }
        return optimizer

    def end_epoch(self, perplexity: float, adapter: Adapter) -> None:
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
            self.best, self.stale = {n: t.clone() for n, t in adapter.tensors().items()}, 0
        else:
            self.stale += 1
        self.valid.append(perplexity)

    def save(self, optimizer: torch.optim.Optimizer) -> None:
        """Write everything to one file, by rename: a kill at any moment leaves the old state or the new one."""
        assert self.adapter is not None
        tensors = {f"best/{n}": t.contiguous() for n, t in self.best.items()}
        for name, parameter in self.adapter.named_parameters():
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
