"""adapter.safetensors: written by rename, read only when it fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from adapterbot.errors import AdapterError, OtherBackboneError
from adapterbot.home import written_by_rename
from adapterbot.network.adapters.kinds import kind_of
from adapterbot.network.architectures.shape import Shape

REPLY = "reply"  # `on` in the metadata of an adapter that acts on replies alone
FLOATS = (torch.float16, torch.bfloat16, torch.float32)
SCALE = ".scale"  # after the name of a matrix of int8 numbers: what each of its rows is to be multiplied by
STEPS = 127


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class AdapterFile:
    """A validated adapter.safetensors, equal to itself alone. `notes` are things the user should see (an adapter
    without effect).

    `stored` are its tensors as `packed` gives them, or as they are. What it adds to the states counts `strength` times.
    """

    stored: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    notes: tuple[str, ...] = ()
    strength: float = 1.0

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What is computed with."""
        return unpacked(self.stored)

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(tensor.numel() for name, tensor in self.stored.items() if not name.endswith(SCALE))

    @property
    def type(self) -> str:
        """The kind of adapter."""
        return self.metadata["type"]

    @property
    def on(self) -> str:
        """The tokens that it acts on: "all", or those of replies alone."""
        return self.metadata.get("on", "all")

    @property
    def replies_only(self) -> bool:
        """Whether it acts on the tokens of replies alone, and not on those of prompts."""
        return self.on == REPLY

    def scaled(self, strength: float) -> AdapterFile:
        """This adapter with all that it adds to the states times `strength`, as task vectors are scaled (Ilharco et
        al. 2023, arXiv 2212.04089, section 2).
        """
        return replace(self, strength=self.strength * strength)


@dataclass(frozen=True, slots=True)
class OnDisk:
    """An adapter of whose file no weights have been read: `head` has its metadata and strength, and its tensors without
    numbers (on torch's device "meta"), but for those few that its kind calls fixed.
    """

    path: Path
    head: AdapterFile

    def load(self, shape: Shape, fingerprint: str) -> AdapterFile:
        """The whole adapter, checked, as its file lies there now.

        Raises:
            AdapterError: as `load_adapter`, or it has become one of another kind than was listed.
        """
        file = load_adapter(self.path, shape, fingerprint).scaled(self.head.strength)
        if (self.head.type, self.head.on, _group(self.head)) != (file.type, file.on, _group(file)):
            raise AdapterError(
                f"{self.path} has become another type or size of adapter since the skills were listed; load skill "
                f"{self.path.parent.name!r} anew"
            )
        return file


def _group(file: AdapterFile) -> object:
    return kind_of(file.type).group(file.stored)


def save_adapter(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, rounded: bool = True
) -> None:
    """Write adapter.safetensors by rename: matrices as int8 with a scale for each row, all else as fp16; all as it is
    where it is not to be `rounded`."""
    with written_by_rename(path) as temporary:
        save_file(packed(tensors) if rounded else dict(tensors), temporary, dict(metadata))


def packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they are stored. A matrix [..., in, out] becomes int8 numbers and their scales [..., in, 1]."""
    stored = dict[str, Tensor]()
    for name, tensor in tensors.items():
        if tensor.dim() < 3 or not bool(torch.isfinite(tensor).all()):  # vectors of all layers: [L, n]
            stored[name] = tensor.half().contiguous()
            continue
        scale = (tensor.float().abs().amax(-1, keepdim=True) / STEPS).half()
        whole = tensor.float() / scale.float().clamp_min(torch.finfo(torch.float16).smallest_normal)
        stored[name] = whole.round().clamp(-STEPS, STEPS).to(torch.int8).contiguous()
        stored[name + SCALE] = scale.contiguous()
    return stored


def unpacked(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of what `packed` gave; int8 numbers times their scales are fp16."""
    return {
        name: (tensor.float() * stored[name + SCALE].float()).half() if name + SCALE in stored else tensor
        for name, tensor in stored.items()
        if not name.endswith(SCALE)
    }


def load_adapter(path: Path, shape: Shape, fingerprint: str) -> AdapterFile:
    """Read and validate an adapter for the backbone with this shape and fingerprint.

    Raises:
        OtherBackboneError: of another backbone.
        AdapterError: damaged, unsafe, too large, or a tensor missing, extra, misshapen or not finite.
    """
    with _opened(path, shape, fingerprint) as (file, metadata, given):
        stored = {name: file.get_tensor(name) for name in given}
    _check_values(path, stored)
    tensors = unpacked(stored)
    notes = tuple(f"{path} {note}" for note in kind_of(metadata["type"]).check(tensors, shape))
    return AdapterFile(stored, metadata, notes)


def list_adapter(path: Path, shape: Shape, fingerprint: str) -> OnDisk:
    """An adapter of which all but its numbers is validated, so that none of its weights have to be read.

    Raises:
        OtherBackboneError, AdapterError: as `load_adapter`, but for what is wrong with numbers.
    """
    with _opened(path, shape, fingerprint) as (file, metadata, given):
        fixed = kind_of(metadata["type"]).fixed
        stored = {
            name: file.get_tensor(name) if name in fixed else torch.empty(size, device="meta")
            for name, size in given.items()
        }
    return OnDisk(path, AdapterFile(stored, metadata))


@contextmanager
def _opened(
    path: Path, shape: Shape, fingerprint: str
) -> Iterator[tuple[Any, Mapping[str, str], Mapping[str, tuple[int, ...]]]]:
    """The open file, its metadata and the shapes of its tensors, which fit."""
    if path.suffix != ".safetensors":
        raise AdapterError(f"{path} is refused: only .safetensors is read (pickles can run code)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            given = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
            _check_metadata(path, metadata, fingerprint)
            sizes = {name: size for name, size in given.items() if not name.endswith(SCALE)}
            _check_sizes(path, metadata["type"], sizes, shape)  # before anything large is read
            _check_scales(path, given)
            yield file, metadata, given
    except AdapterError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise AdapterError(f"{path} cannot be read: {error}") from None


def _check_metadata(path: Path, metadata: Mapping[str, str], fingerprint: str) -> None:
    try:
        kind_of(metadata.get("type"))
    except AdapterError as error:
        raise AdapterError(f"{path}: {error}") from None
    if metadata.get("backbone") != fingerprint:
        raise OtherBackboneError(
            f"{path} was trained on another backbone ({str(metadata.get('backbone'))[:12]}, this one is "
            f"{fingerprint[:12]}); train it on this one: adapterbot train-skill {path.parent.name}"
        )


def _check_sizes(path: Path, type: str, given: Mapping[str, tuple[int, ...]], shape: Shape) -> None:
    try:
        wanted = kind_of(type).tensors(given, shape)
    except AdapterError as error:
        raise AdapterError(f"{path}: {error}") from None
    missing = wanted.keys() - given.keys()
    extra = given.keys() - wanted.keys()
    if missing or extra:
        raise AdapterError(
            f"{path}: tensors missing: {sorted(missing) or 'none'}, not known: {sorted(extra) or 'none'}"
        )
    for name, size in wanted.items():
        if given[name] != size:
            raise AdapterError(f"{path}: {name} has shape {list(given[name])}, not {list(size)}")


def _check_scales(path: Path, given: Mapping[str, tuple[int, ...]]) -> None:
    for name, size in given.items():
        matrix = given.get(name.removesuffix(SCALE), ())
        if name.endswith(SCALE) and size != (*matrix[:-1], 1):
            raise AdapterError(f"{path}: {name} has shape {list(size)}, its matrix {list(matrix)}")


def _check_values(path: Path, stored: Mapping[str, Tensor]) -> None:
    for name, tensor in stored.items():
        if tensor.dtype is torch.int8 and name + SCALE in stored:
            continue
        if tensor.dtype not in FLOATS:
            raise AdapterError(f"{path}: {name} has type {tensor.dtype}, not a float")
        if not bool(torch.isfinite(tensor).all()):
            raise AdapterError(f"{path}: {name} holds NaN or infinite values")
