"""Int8 products: near those of the float matrix, the same whatever else is in the batch, and never trained through."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.network import int8, kernels
from adapterbot.network.architectures.embeddings import Embeddings
from adapterbot.network.int8 import Int8Embeddings, Int8Linear, Product, Quantised

pytestmark = pytest.mark.skipif(not int8.kernel_here(), reason="torch has no int8 kernel for this processor")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quantised(weight: Tensor, inputs: Tensor) -> Quantised:
    return Quantised.of(weight, inputs, inputs.abs().amax(0))


def as_packed(matrix: Quantised, inputs: Tensor) -> Tensor:
    """Inputs times the matrix as the kernel holds it: a processor without VNNI has weights of 7 bits."""
    if torch.cpu._is_vnni_supported():
        return matrix(inputs)
    even = inputs * matrix.even
    step = even.abs().amax(-1, keepdim=True) / (int8.LEVELS * (int8.HALVES if matrix.fine else 1))
    return F.linear((even / step).round() * step, (matrix.weight.float() / 2).round() * 2 * matrix.scale[:, None])


def spiky(rows: int, width: int, columns: int = 2, size: float = 300.0) -> Tensor:
    """Inputs of which a few columns are far larger than all others."""
    x = drawn(rows, width, seed=1)
    x[:, :columns] *= size
    return x


@pytest.mark.parametrize("inputs", [drawn(16, 64, seed=1), spiky(16, 64), 1e-4 * drawn(16, 64), 1e4 * spiky(16, 64)])
def test_products_are_near_those_of_the_float_matrix(inputs: Tensor) -> None:
    weight = drawn(48, 64)
    matrix = quantised(weight, inputs)
    wanted = inputs @ weight.t()
    product = Product(matrix)
    assert matrix.error(weight, inputs) <= int8.ROUGH
    of_one_each = matrix(inputs) if kernels.usable() else as_packed(matrix, inputs)
    for found, rounded in ((product(inputs[None])[0], as_packed(matrix, inputs)), (product(inputs), of_one_each)):
        assert ((found - wanted).norm(dim=1) / wanted.norm(dim=1)).max() < 0.05
        torch.testing.assert_close(found, rounded, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
    assert ((matrix.plain() - weight).norm() / weight.norm()) < 0.1


def test_inputs_that_no_factor_makes_even_are_rounded_finely() -> None:
    weight = drawn(48, 64)
    here_and_there = drawn(16, 64, seed=1)
    here_and_there[torch.arange(16), torch.arange(16) * 4] *= 2000  # a column of its own in every row
    assert not quantised(weight, drawn(16, 64, seed=1)).fine
    assert quantised(weight, here_and_there).fine


def test_a_row_is_the_same_alone_and_in_a_batch() -> None:
    weight = drawn(48, 64)
    for inputs in (drawn(9, 64, seed=2), spiky(9, 64)):
        for fine in (False, True):
            product = Product(quantised(weight, inputs)._replace(fine=torch.tensor(fine)))
            together = product(inputs.view(3, 3, 64))
            assert together.shape == (3, 3, 48)
            of_one_each = product(inputs)
            for i, row in enumerate(inputs):
                assert torch.equal(product(row), together.flatten(0, 1)[i])
                assert torch.equal(product(row[None]), of_one_each[i : i + 1])
                assert torch.equal(product(row[None, None]), of_one_each[None, i : i + 1])


def test_a_row_of_zeros_is_zero() -> None:
    assert torch.equal(Product(quantised(drawn(8, 64), drawn(9, 64)))(torch.zeros(2, 64)), torch.zeros(2, 8))


def test_no_gradient_is_lost_unseen() -> None:
    linear = Int8Linear(quantised(drawn(48, 64), drawn(4, 64, seed=1)))
    x = drawn(4, 64).requires_grad_()
    with pytest.raises(RuntimeError, match=r"load the backbone with dtype=torch\.float32"):
        linear(x)
    with torch.no_grad():
        assert linear(x).shape == (4, 48)
    assert not linear(x.detach()).requires_grad


class Small(nn.Module):
    """A linear map and embeddings."""

    linear: Any
    table: Any

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.table = nn.Linear(64, 48), Embeddings(32, 64)
        nn.init.normal_(self.table.weight)


@pytest.mark.parametrize("kernel", [True, False])
def test_a_decoder_gets_int8_parts_or_without_a_kernel_float_ones(
    kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "kernel_here", lambda: kernel)
    model, plain = Small(), Small()
    inputs = drawn(8, 64, seed=3)
    matrices = {n: quantised(plain.get_parameter(f"{n}.weight").detach(), inputs) for n in ("linear", "table")}
    int8.replace(model, matrices, {"linear.bias": plain.linear.bias.detach()})
    model.requires_grad_(False)
    assert isinstance(model.linear, Int8Linear if kernel else nn.Linear)
    assert isinstance(model.table, Int8Embeddings if kernel else Embeddings)
    x, ids = drawn(4, 64, seed=3), torch.tensor([[3, 0], [31, 3]])
    for found, wanted in (
        (model.linear(x), plain.linear(x)),
        (model.table(ids), plain.table(ids)),
        (model.table.scores(x), plain.table.scores(x)),
    ):
        assert found.shape == wanted.shape
        assert (found - wanted).norm() / wanted.norm() < 0.03
    again = copy.deepcopy(model)
    assert torch.equal(again.linear(x), model.linear(x))


def test_a_processor_without_vnni_gets_smaller_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, inputs = drawn(48, 64), drawn(16, 64, seed=1)
    matrix = quantised(weight, inputs)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    found, wanted = Product(matrix)(inputs[None])[0], inputs @ weight.t()
    assert 1e-3 < (found - wanted).norm() / wanted.norm() < 0.05


def test_packing_leaves_the_engine_of_the_process_as_it_was() -> None:
    before = torch.backends.quantized.engine
    Product(quantised(drawn(8, 64), drawn(9, 64)))
    assert torch.backends.quantized.engine == before
