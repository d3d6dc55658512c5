"""The state of a training that has not ended: one safetensors file, by rename, that a killed run goes on from.

Its tensors are the learner's weights (`weights/NAME`), the optimizers' moments (`OPTIMIZER/NAME/MOMENT`) and the best
weights so far (`best/NAME`). Its metadata are JSON: how far the training is, and the key of what it
trains (data, sizes, settings). A kill at any moment leaves the last file or the new one.
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adapterbot.errors import WeightsError
from adapterbot.home import written_by_rename

FILE = "checkpoint.safetensors"
KEY = "key.json"
WEIGHTS = "weights"
BEST = "best"

Key = Mapping[str, Any]  # of JSON values
Optimizers = Mapping[str, torch.optim.Optimizer]  # by a name that is neither WEIGHTS nor BEST


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds; an empty one stands for a training that has not begun."""

    key: Key = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def best(self) -> dict[str, Tensor]:
        """The best weights so far, by the names they were saved under; none where no best ones were saved."""
        return {name.removeprefix(f"{BEST}/"): t for name, t in self.tensors.items() if name.startswith(f"{BEST}/")}

    def restore_weights(self, learner: nn.Module) -> None:
        """Put the weights into `learner`, on whatever device it is; the empty checkpoint changes nothing.

        Raises:
            WeightsError: a parameter of the learner is missing.
        """
        if not self.tensors:
            return
        with torch.no_grad():
            for name, parameter in learner.named_parameters():
                if f"{WEIGHTS}/{name}" not in self.tensors:
                    raise WeightsError(f"the checkpoint of this training has no weights {name!r}: delete it")
                parameter.copy_(self.tensors[f"{WEIGHTS}/{name}"])

    def restore_moments(self, learner: nn.Module, optimizers: Optimizers) -> None:
        """Put the moments into optimizers of the learner's parameters, each on its parameter's device."""
        parameters = dict(learner.named_parameters())
        for path, tensor in self.tensors.items():
            kind, _, rest = path.partition("/")
            name, _, moment = rest.rpartition("/")
            if kind in optimizers:
                # A count of steps stays on the processor, but for a fused optimizer, whose kernel reads it.
                beside = moment != "step" or optimizers[kind].defaults.get("fused")
                device = parameters[name].device if beside else tensor.device
                optimizers[kind].state[parameters[name]][moment] = tensor.to(device, copy=True)


def save_checkpoint(
    folder: Path,
    key: Key,
    progress: Mapping[str, Any],
    learner: nn.Module,
    optimizers: Optimizers,
    best: Mapping[str, Tensor] | None = None,
) -> None:
    """Write one file, by rename: `progress` as JSON, all weights of `learner`, all moments, and the `best` weights."""
    tensors: dict[str, Tensor] = {f"{WEIGHTS}/{name}": weight for name, weight in learner.named_parameters()}
    tensors |= {f"{BEST}/{name}": tensor for name, tensor in (best or {}).items()}
    for kind, optimizer in optimizers.items():
        for name, parameter in learner.named_parameters():
            for moment, tensor in optimizer.state.get(parameter, {}).items():
                tensors[f"{kind}/{name}/{moment}"] = torch.as_tensor(tensor)
    metadata = {"key": json.dumps(dict(key)), "progress": json.dumps(dict(progress))}
    with written_by_rename(folder / FILE) as temporary:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary, metadata)


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`, the empty one where there is none.

    Raises:
        WeightsError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return Checkpoint()
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return Checkpoint(json.loads(metadata["key"]), json.loads(metadata["progress"]), tensors)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({error}); delete {folder} to start again") from None


def checkpoint_of(folder: Path, key: Key) -> Checkpoint:
    """The checkpoint in `folder` if it has this key, else the empty one: a damaged file or another training's counts
    as none."""
    try:
        checkpoint = read_checkpoint(folder)
    except WeightsError:
        return Checkpoint()
    return checkpoint if checkpoint.key == dict(key) else Checkpoint()


def claim(folder: Path, key: Key) -> None:
    """Make `folder` the place of the training that `key` describes, or go on in the one that it is.

    For a training that keeps more there than its checkpoint.

    Raises:
        WeightsError: it belongs to a training with other data, sizes or settings; the message says which.
    """
    path = folder / KEY
    if path.is_file():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        differences = [f"{k} is {theirs.get(k)} there and {key.get(k)} now" for k in key if theirs.get(k) != key.get(k)]
        if differences:
            raise WeightsError(
                f"{folder} holds a checkpoint of another configuration ({'; '.join(differences)}): "
                "go on with the old settings, or delete that folder, or choose another --out"
            )
    with written_by_rename(path) as temporary:
        temporary.write_text(json.dumps(dict(key), indent=2), encoding="utf-8")


def remove_checkpoint(folder: Path) -> None:
    """Delete the folder of a training that has ended."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Ctrl-C and a polite kill wait until the block has ended. Outside the main thread no signal arrives anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {s: signal.signal(s, lambda number, _: arrived.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if arrived:
        signal.raise_signal(arrived[0])
