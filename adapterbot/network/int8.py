"""Weights of one byte: what a token costs on a processor is mostly that all weights are read from memory once.

A row of a matrix is int8 times a scale of its own. So is a row of inputs, while it is multiplied: no row of a batch
changes another. Inputs of which a few are far larger than the others are made even first, by factors that go into the
weights (Xiao et al. 2023, SmoothQuant). Where that is not enough they are rounded to two bytes, in two products.
M rows, N outputs, K inputs, V vocabulary, d width.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.network import kernels
from adapterbot.network.architectures.embeddings import Embeddings

LEVELS = 127  # of either sign
HALVES = 2 * LEVELS  # what is left after rounding to a level, by how many it is told
SMOOTHING = 0.6  # how much of an input's size goes into the weights
ROUGH = 0.02  # a product that is further off than this, relative to its size, has its inputs rounded finely
TINY = 1e-9
FEW = 256  # rows of one token each: more than the engine has


class Quantised(NamedTuple):
    """A matrix [N, K] as int8: `weight` times `scale`, times `even`, by which inputs are multiplied beforehand."""

    weight: Tensor  # [N, K] int8
    scale: Tensor  # [N]
    even: Tensor  # [K]
    fine: Tensor  # bool: whether inputs are rounded to two bytes

    @classmethod
    def of(cls, weight: Tensor, inputs: Tensor, peaks: Tensor) -> Self:
        """A matrix [N, K], for inputs that are like these [M, K] and of which the largest ones are `peaks` [K]."""
        factors = peaks.clamp_min(TINY) ** SMOOTHING / weight.abs().amax(0).clamp_min(TINY) ** (1 - SMOOTHING)
        factors /= factors.log().mean().exp()
        smooth = cls(*_rounded(weight * factors), 1 / factors, torch.tensor(False))
        if smooth.error(weight, inputs) <= ROUGH:
            return smooth
        return cls(*_rounded(weight), torch.ones_like(factors), torch.tensor(True))

    def plain(self) -> Tensor:
        """The matrix [N, K], float32."""
        return self.weight.float() * self.scale[:, None] * self.even

    def error(self, weight: Tensor, inputs: Tensor) -> float:
        """How far products are from those of the matrix itself, relative to their size, for inputs [M, K]."""
        wanted = F.linear(inputs, weight)
        return float(((self(inputs) - wanted).norm(dim=-1) / wanted.norm(dim=-1).clamp_min(TINY)).mean())

    def __call__(self, x: Tensor) -> Tensor:
        """Inputs [M, K], rounded as the kernel rounds them, times the matrix [M, N]."""
        even = x * self.even
        step = even.abs().amax(-1, keepdim=True).clamp_min(TINY) / (LEVELS * (HALVES if self.fine else 1))
        return F.linear((even / step).round() * step, self.weight.float() * self.scale[:, None])


def _rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """[N, K] -> int8 [N, K] and scales [N]."""
    scale = weight.abs().amax(1).clamp_min(TINY) / LEVELS
    return (weight / scale[:, None]).round().to(torch.int8), scale


class Product:
    """Inputs times an int8 matrix: of few rows by a kernel of ours, of many by torch's."""

    def __init__(self, matrix: Quantised) -> None:
        self._matrix = matrix
        self._even = None if matrix.fine else matrix.even.clone()
        self._fine = bool(matrix.fine)
        self._packed = _pack(matrix.weight, matrix.scale)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., K] -> [..., N], float32.

        Raises:
            RuntimeError: a gradient is asked for, which rounding does not have.
        """
        if x.requires_grad and torch.is_grad_enabled():
            raise RuntimeError("nothing is trained through int8 weights: load the backbone with dtype=torch.float32")
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) <= FEW and (x.dim() == 2 or (x.dim() == 3 and x.shape[1] == 1)):
            made = kernels.product(rows, self._even, self._matrix.weight, self._matrix.scale, self._fine)
            if made is not None:
                return made.view(*x.shape[:-1], -1)
        rows = rows if self._even is None else rows * self._even
        step = torch.maximum(rows.amax(-1, keepdim=True), -rows.amin(-1, keepdim=True)).clamp_min_(TINY).div_(LEVELS)
        product: Tensor = self._multiply(rows, step).mul_(step)
        return product.view(*x.shape[:-1], -1)

    def _multiply(self, x: Tensor, step: Tensor) -> Tensor:
        """x [M, K], of which a level is `step` [M, 1] -> its products by steps [M, N]."""
        multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        if not self._fine:
            product: Tensor = multiply(x / step, 1.0, 128, self._packed)
            return product
        parts = x.new_empty(2, *x.shape)  # in place from here on: memory for large ones costs more than the arithmetic
        levels, rest = parts.unbind()
        torch.round(torch.div(x, step, out=levels), out=rest)
        torch.sub(levels, rest, out=rest).mul_(HALVES)
        whole, remainder = multiply(parts, 1.0, 128, self._packed)
        summed: Tensor = whole.add_(remainder, alpha=1 / HALVES)
        return summed


class Int8Linear(nn.Module):
    """A linear map with int8 weights."""

    def __init__(self, matrix: Quantised, bias: Tensor | None = None) -> None:
        super().__init__()
        self.packed = matrix.weight.numel()
        self.product = Product(matrix)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., K] -> [..., N]."""
        y = self.product(x)
        return y if self.bias is None else y.add_(self.bias)


class Int8Embeddings(nn.Module):
    """V int8 vectors of width d, which may be the head of a tied model too."""

    def __init__(self, matrix: Quantised) -> None:
        super().__init__()
        self.packed = matrix.weight.numel()
        # Copies: the matrix may be a window on a file whose other matrices, once packed, are not needed again. Of the
        # weights `read_converted` opens a window of their own.
        self.weight, self.scale, self.even = matrix.weight, matrix.scale.clone(), matrix.even.clone()
        self.product = Product(matrix)

    def forward(self, ids: Tensor) -> Tensor:
        """ids [...] -> [..., d]."""
        return self.weight[ids].float() * self.scale[ids][..., None] * self.even

    def scores(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., d] -> [..., V]."""
        return self.product(hidden)


@cache
def kernel_here() -> bool:
    """Whether torch multiplies int8 matrices on this processor."""
    try:
        product = Product(Quantised.of(torch.eye(2), torch.eye(2), torch.ones(2)))
        return bool((product(torch.eye(2)) - torch.eye(2)).abs().max() < ROUGH)
    except (RuntimeError, AttributeError):  # no such engine, or a torch that has no such operator
        return False


def _pack(weight: Tensor, scale: Tensor) -> Any:
    """int8 [N, K] and scales [N] as the kernel reads them.

    A processor without VNNI adds pairs of products in 16 bits, for which weights may only have 7.
    """
    if not torch.cpu._is_vnni_supported():
        weight, scale = (weight.float() / 2).round().to(torch.int8), scale * 2
    with _engine("fbgemm"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the types, which torch wants to move to another package
        zeros = torch.zeros(len(scale), dtype=torch.long)
        matrix = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(matrix, None)


@contextlib.contextmanager
def _engine(name: str) -> Iterator[None]:
    """Matrices are packed for this engine while the block runs."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def replace(decoder: nn.Module, matrices: Mapping[str, Quantised], others: Mapping[str, Tensor]) -> None:
    """Give a decoder int8 matrices in place of its linear maps and embeddings, by their names, and all other tensors.

    Where this processor has no kernel, they are float32 again.
    """
    for name, matrix in matrices.items():
        parent, _, attribute = name.rpartition(".")
        old = decoder.get_submodule(name)
        new: nn.Module
        if not kernel_here():
            new = old
            old.load_state_dict({"weight": matrix.plain()}, strict=False, assign=True)
        elif isinstance(old, Embeddings):
            new = Int8Embeddings(matrix)
        else:
            new = Int8Linear(matrix, others.get(f"{name}.bias"))
        setattr(decoder.get_submodule(parent), attribute, new)
    decoder.load_state_dict(dict(others), strict=False, assign=True)
