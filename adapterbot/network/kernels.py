"""kernels.c, which is compiled at the installation where there is a compiler: what a new token costs on a processor.

Where there is none, or on another processor, `usable` is False and torch computes the same, up to rounding, some times
slower. All arguments are on the processor, float32 where not said otherwise, and need no gradient.
B rows, H heads, K heads of keys and values, w width of a head, d width, r bottleneck, G adapters, P prefix tokens.
"""

from __future__ import annotations

import importlib.util
from ctypes import CDLL, c_float, c_int64, c_void_p
from functools import cache

import torch
from torch import Tensor

MODULE = "adapterbot.network._kernels"
LANES = 8  # numbers that are added at a time: widths are multiples of it
PAIRS = 16  # likewise the inputs of an int8 product

P, N = c_void_p, c_int64
TYPES = {
    "product": (P, P, P, P, P, N, N, N, N),
    "attend": (P, N, N, P, N, N, P, N, N, P, P, N, N, P, P, P, P, N, P, N, N, N, N),
    "residual": (P, P, P, P, P, P, P, P, c_float, P, N, N, N),
}


@cache
def library() -> CDLL | None:
    """The compiled functions, or None where they are not there or this processor lacks what they need."""
    found = importlib.util.find_spec(MODULE)
    if found is None or found.origin is None:
        return None
    try:
        loaded = CDLL(found.origin)
        for name, types in TYPES.items():
            getattr(loaded, name).argtypes = types
    except (OSError, AttributeError):  # not for this machine, or made from an older source
        return None
    return loaded if loaded.usable() else None


def usable() -> bool:
    """Whether this processor has them."""
    return library() is not None


def product(x: Tensor, even: Tensor | None, weight: Tensor, scale: Tensor, fine: bool) -> Tensor | None:
    """Inputs x [B, K] times int8 weights [N, K] with scales [N] -> [B, N]; `even` [K]: what inputs are multiplied by
    beforehand; `fine`: inputs are rounded to two bytes. None: not of a form for this.

    Raises:
        MemoryError: there is none left.
    """
    found = library()
    if found is None or weight.shape[1] % PAIRS or x.dtype != torch.float32:
        return None
    x = x.contiguous()
    y = torch.empty(len(x), len(weight))
    evened = None if even is None else even.data_ptr()
    places = (x.data_ptr(), evened, weight.data_ptr(), scale.data_ptr(), y.data_ptr())
    _made(found.product(*places, len(x), len(weight), weight.shape[1], int(fine)))
    return y


def attend(
    q: Tensor, k: Tensor, v: Tensor, cache: Tensor, at: Tensor, prefix: tuple[Tensor, Tensor, Tensor] | None = None
) -> Tensor | None:
    """Attention of one new token a row: queries [B, H, 1, w], its keys and values [B, K, 1, w], which go into those of
    a layer so far, `cache` [2, B, K, C, w], at the columns `at` [B] int64 -> what the heads read [B, 1, H * w].

    `prefix`: keys and values [B or 1, K, P, w] that stand before them, and which rows see them [B or 1, P] bool.
    None: not of a form for this.

    Raises:
        MemoryError: there is none left.
    """
    found = library()
    rows, heads, _, w = q.shape
    plain = cache.dtype == q.dtype == torch.float32 and cache.stride(3) == w and w % LANES == 0
    if found is None or not plain or any(x.stride(3) != 1 for x in (q, k, v)):
        return None
    keys, values = cache[0], cache[1]
    before: list[Tensor] = []
    if prefix is not None:
        wide = [x.expand(rows, -1, -1, -1).float().contiguous() for x in prefix[:2]]
        before = [*wide, prefix[2].expand(rows, -1).contiguous()]
    y = torch.empty(rows, 1, heads * w)
    _made(
        found.attend(
            *(part for x in (q, k, v) for part in (x.data_ptr(), x.stride(0), x.stride(1))),
            *(keys.data_ptr(), values.data_ptr(), keys.stride(0), keys.stride(1), at.data_ptr()),
            *(x.data_ptr() for x in before or (y, y, y)),
            before[2].shape[1] if before else 0,
            y.data_ptr(),
            *(rows, heads, k.shape[1], w),
        )
    )
    return y


def residual(x: Tensor, places: Tensor, layer: tuple[Tensor, ...], epsilon: float) -> Tensor | None:
    """x + Up(ReLU(Down(LN(x)))) of one token a row x [B, 1, d], by the adapter that `places` [B] int64 tells; -1: none.

    `layer`: LN's scales and shifts [G, d], down [G, d, r] and its biases [G, r], up [G, r, d] and its biases [G, d], or
    each without G. None: not of a form for this.

    Raises:
        MemoryError: there is none left.
    """
    found = library()
    d, r = layer[2].shape[-2:]
    plain = all(t.dtype == torch.float32 and t.is_contiguous() for t in layer)
    if found is None or not plain or x.dtype != torch.float32 or d % LANES:
        return None
    x = x.contiguous()
    y = torch.empty_like(x)
    _made(
        found.residual(
            x.data_ptr(),
            places.data_ptr(),
            *(t.data_ptr() for t in layer),
            *(epsilon, y.data_ptr()),
            *(len(x), d, r),
        )
    )
    return y


def _made(done: int) -> None:
    if not done:
        raise MemoryError("a product has no memory for its inputs")
