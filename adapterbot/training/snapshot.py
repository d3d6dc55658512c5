"""Where a pretraining stands: weights, both optimizers' moments and the curve in one safetensors file, by rename."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adapterbot.errors import WeightsError
from adapterbot.home import written_by_rename

FILE = "state.safetensors"


@dataclass(slots=True)
class Snapshot:
    """`step` counts updates, `number` passes over the data, `row` the rows of this pass that are done.

    Between the first change of a weight and `advance` it is not `whole`, and must not be saved: an error there (memory
    that ran out) leaves the last file. Signals wait meanwhile (`undisturbed`).
    """

    step: int = 0
    number: int = 0
    row: int = 0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)
    whole: bool = True

    def advance(self, rows: int, tokens: int, seconds: float) -> None:
        """One update is done."""
        self.step += 1
        self.row += rows
        self.tokens += tokens
        self.seconds += seconds
        self.whole = True

    def save(self, folder: Path, model: nn.Module, optimizers: Mapping[str, Any]) -> None:
        """Write everything; a kill at any moment leaves the old state or the new one."""
        tensors = {f"model/{name}": p.detach().cpu().contiguous() for name, p in model.named_parameters()}
        for kind, optimizer in optimizers.items():
            for name, parameter in model.named_parameters():
                for moment, tensor in optimizer.state.get(parameter, {}).items():
                    tensors[f"{kind}/{name}/{moment}"] = torch.as_tensor(tensor).detach().cpu().contiguous()
        with written_by_rename(folder / FILE) as temporary:
            save_file(tensors, temporary, {"state": json.dumps(asdict(self))})


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and a polite kill wait until the block has ended. Outside the main thread no signal arrives anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = {s: signal.signal(s, lambda number, _: waiting.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if waiting:
        signal.raise_signal(waiting[0])


def claim(folder: Path, key: Mapping[str, Any]) -> None:
    """Make `folder` the place of the training that `key` describes, or go on in the one that it is.

    Raises:
        WeightsError: it belongs to a training with other data, sizes or settings; the message says which.
    """
    path = folder / "key.json"
    if path.is_file():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        differs = [f"{k} is {theirs.get(k)} there and {key.get(k)} now" for k in key if theirs.get(k) != key.get(k)]
        if differs:
            raise WeightsError(
                f"{folder} holds a checkpoint of another configuration ({'; '.join(differs)}): "
                "go on with the old settings, or delete that folder, or choose another --out"
            )
    with written_by_rename(path) as temporary:
        temporary.write_text(json.dumps(key, indent=2), encoding="utf-8")


def open_snapshot(folder: Path, model: nn.Module, optimizers: Mapping[str, Any]) -> Snapshot:
    """The snapshot in `folder`, its weights and moments put in place; a fresh one where there is none.

    Raises:
        WeightsError: it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return Snapshot()
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        _restore(tensors, model, optimizers)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({error}); delete {folder} to start again") from None
    return Snapshot(**state)


def _restore(tensors: Mapping[str, Tensor], model: nn.Module, optimizers: Mapping[str, Any]) -> None:
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"model/{name}"])
    for kind, optimizer in optimizers.items():
        for path, tensor in tensors.items():
            first, _, rest = path.partition("/")
            name, _, moment = rest.rpartition("/")
            if first == kind:
                place = parameters[name]
                on = tensor if moment == "step" else tensor.to(place.device)
                optimizer.state[place][moment] = on.clone()


def remove_snapshot(folder: Path) -> None:
    """Delete the folder of a training that has ended."""
    shutil.rmtree(folder, ignore_errors=True)
