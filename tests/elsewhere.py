"""A device beside the processor, pretended: tensors that must not meet those of the processor, as on a GPU.

A tensor "there" is a wrapper around one of the processor's that says another device. Inside `pretending()` every
operation is looked at: tensors of both places in one operation are an error, as with CUDA (a tensor without dimensions
and an index may be the processor's there too), and what is asked for "there" is made there. The numbers are real, so
that the whole pipeline runs; only `.cpu()` and `.to("cpu")` bring a tensor back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

# The one device besides the processor that torch hands around without a library for it.
ELSEWHERE = torch.device("meta")
COPIES = ("_to_copy", "copy_", "to", "cpu")
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")


class Elsewhere(Tensor):
    """A tensor that is there."""

    inside: Tensor

    @staticmethod
    def __new__(cls, inside: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(
            cls,
            inside.size(),
            strides=inside.stride(),
            storage_offset=inside.storage_offset(),
            dtype=inside.dtype,
            device=ELSEWHERE,
            requires_grad=inside.requires_grad,
        )
        made.inside = inside
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, call: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return dispatched(call, args, kwargs or {})


class Pretending(TorchDispatchMode):
    """Also what only names the place, such as `torch.zeros(3, device=...)`, is made there."""

    def __torch_dispatch__(self, call: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return dispatched(call, args, kwargs or {})


def dispatched(call: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """One operation, in the place that its tensors and its `device` say."""
    name = call.overloadpacket.__name__
    tensors = [t for t in tree_flatten((arguments, options))[0] if isinstance(t, Tensor)]
    there = [isinstance(t, Elsewhere) for t in tensors]
    sized = [at for t, at in zip(tensors, there, strict=True) if t.dim()]
    if name in INDEXING:  # of what is there an index may be here, but not the other way round
        sized = [there[0]] if there[0] else there
    if name not in COPIES and len(set(sized)) > 1:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found at least two")
    devices = [value for value in tree_flatten((arguments, options))[0] if isinstance(value, torch.device)]
    goes_there = devices[0].type == ELSEWHERE.type if devices else any(there)
    made = call(*tree_map(here, tuple(arguments)), **tree_map(here, dict(options)))
    if tensors and not devices and made is unwrapped(tensors[0]):
        return tensors[0]  # changed in place, or as it was
    return tree_map(wrapped, made) if goes_there else made


def here(value: Any) -> Any:
    """The tensor behind one that is there, and the processor for a device; anything else as it is."""
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return unwrapped(value)


def unwrapped(value: Any) -> Any:
    return value.inside if isinstance(value, Elsewhere) else value


def wrapped(value: Any) -> Any:
    return Elsewhere(value) if isinstance(value, Tensor) and not isinstance(value, Elsewhere) else value


@contextmanager
def pretending() -> Iterator[torch.device]:
    """The other device, for as long as the block runs."""
    tensor, autocast = torch.tensor, torch.autocast

    def made_there(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        made = tensor(data, **options)  # it does not come by a dispatch mode
        return made if device is None else made.to(device)

    def of_the_processor(_: str, *more: Any, **options: Any) -> Any:
        return autocast("cpu", *more, **options)

    run = threading.Thread.run

    def run_there(thread: threading.Thread) -> None:  # a dispatch mode is of one thread
        with Pretending():  # type: ignore[no-untyped-call]
            run(thread)

    with (
        patch("torch.tensor", made_there),
        patch("torch.autocast", of_the_processor),
        patch("threading.Thread.run", run_there),
        Pretending(),  # type: ignore[no-untyped-call]
    ):
        yield ELSEWHERE
