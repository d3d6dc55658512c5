"""What a training runs on: a GPU where there is one, else the processor."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, runtime_checkable

import torch

from adapterbot.errors import MissingPartError


def mixed_precision() -> AbstractContextManager[object]:
    """bf16 matrix products where the GPU or the processor has them in hardware (about twice as fast), else float32."""
    return torch.autocast(fastest(), torch.bfloat16, enabled=_has_bf16())


def _has_bf16() -> bool:
    """Whether the GPU, or the processor where there is none, has bf16 in hardware."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@runtime_checkable
class Movable(Protocol):
    """A module, or anything else that can be moved in place."""

    def to(self, device: str, /) -> object: ...


def fastest() -> str:
    """The device that a training runs on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def on_fastest(*parts: object) -> Iterator[None]:
    """The parts on a GPU while the block runs, where there is one, and on the processor again afterwards.

    A part that cannot be moved stays where it is.
    """
    movable = [part for part in parts if isinstance(part, Movable)]
    try:
        for part in movable:
            part.to(fastest())
        yield
    finally:
        for part in movable:
            part.to("cpu")


def accelerator_here() -> Any:
    """This process's part of a training: bf16 on a GPU and on processors that have it, else float32.

    Raises:
        MissingPartError: accelerate is not installed.
    """
    try:
        import accelerate
    except ImportError:
        raise MissingPartError("pretraining needs accelerate: pip install 'adapterbot[train]'") from None
    return accelerate.Accelerator(mixed_precision="bf16" if _has_bf16() else "no", cpu=not torch.cuda.is_available())


def can_compile(device: torch.device) -> bool:
    """Whether torch's compiler can work here: on a processor it needs a C++ compiler."""
    return device.type == "cuda" or any(map(shutil.which, ("c++", "g++", "clang++", "cl")))
