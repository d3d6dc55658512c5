"""The compiled functions against torch's own, and every row the same whatever the others are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.network import kernels
from adapterbot.network.adapters.residual import EPSILON
from adapterbot.network.int8 import Quantised

compiled = pytest.mark.skipif(not kernels.usable(), reason="not compiled here, or a processor without AVX2")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="no compiler to look at")
def test_where_there_is_a_compiler_they_are_there(tmp_path: Path) -> None:
    source = Path(kernels.__file__).with_suffix(".c")
    made = tmp_path / "kernels.so"
    strict = ["-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", *strict, "-o", str(made), str(source), "-lm"], check=True)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    assert kernels.usable() == (" avx2 " in flags and " fma " in flags), "pip install -e . compiles them"


@compiled
@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize(("rows", "outputs"), [(1, 1), (3, 70), (9, 200)])
def test_products(rows: int, outputs: int, fine: bool) -> None:
    weight, x = drawn(outputs, 48), drawn(rows, 48, seed=1)
    matrix = Quantised.of(weight, x, x.abs().amax(0))
    matrix = matrix._replace(fine=torch.tensor(fine))
    wanted = matrix(x)
    found = kernels.product(x, matrix.even, matrix.weight, matrix.scale, fine)
    assert found is not None
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    for i in range(rows):
        alone = kernels.product(x[i : i + 1], matrix.even, matrix.weight, matrix.scale, fine)
        assert alone is not None
        assert torch.equal(alone[0], found[i])
    assert kernels.product(x[:, :8], None, matrix.weight[:, :8].contiguous(), matrix.scale, fine) is None, "8 inputs"


@compiled
def test_what_is_no_number_stays_in_its_row() -> None:
    x = drawn(3, 32)
    x[1, 5] = torch.nan
    weight = (20 * drawn(4, 32, seed=1)).to(torch.int8)
    found = kernels.product(x, None, weight, torch.ones(4), False)
    assert found is not None
    assert found.isnan().any(1).tolist() == [False, True, False]


@compiled
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(6, 2, 16), (4, 4, 64), (3, 1, 40)])
def test_attention_of_one_token(heads: int, kv_heads: int, width: int) -> None:
    at = torch.tensor([5, 0, 30])
    rows = len(at)
    memory = drawn(2, rows + 1, kv_heads, 40, width)
    q, k, v = drawn(rows, heads, 1, width, seed=1), drawn(rows, kv_heads, 1, width), drawn(rows, kv_heads, 1, width)
    before = memory.clone()
    found = kernels.attend(q, k, v, memory, at)
    assert found is not None
    for row, column in enumerate(at.tolist()):
        before[0, row, :, column], before[1, row, :, column] = k[row, :, 0], v[row, :, 0]
        keys, values = (part[row : row + 1, :, : column + 1] for part in before)
        wanted = F.scaled_dot_product_attention(q[row : row + 1], keys, values, enable_gqa=True)
        torch.testing.assert_close(found[row : row + 1], wanted.transpose(1, 2).flatten(2), rtol=1e-5, atol=1e-5)
        one = slice(row, row + 1)
        alone = kernels.attend(q[one], k[one], v[one], memory[:, one], at[one])
        assert alone is not None
        assert torch.equal(alone[0], found[row])
    assert torch.equal(memory, before), "only the new keys and values are written"


@compiled
def test_attention_behind_a_prefix_that_some_rows_see() -> None:
    at, seen = torch.tensor([7, 3]), torch.tensor([[True, False, True], [False, False, False]])
    q, k, v, memory = drawn(2, 4, 1, 16), drawn(2, 2, 1, 16, seed=1), drawn(2, 2, 1, 16, seed=2), drawn(2, 2, 2, 9, 16)
    keys, values = drawn(2, 2, 3, 16, seed=3), drawn(2, 2, 3, 16, seed=4)
    plain, found = kernels.attend(q, k, v, memory, at), kernels.attend(q, k, v, memory, at, (keys, values, seen))
    assert plain is not None
    assert found is not None
    assert torch.equal(found[1], plain[1]), "a row without a prefix does not change by that of another"
    all_keys, all_values = (
        torch.cat([p[:1, :, seen[0]], m[:1, :, :8]], 2) for p, m in zip((keys, values), memory, strict=True)
    )
    wanted = F.scaled_dot_product_attention(q[:1], all_keys, all_values, enable_gqa=True).transpose(1, 2).flatten(2)
    torch.testing.assert_close(found[:1], wanted, rtol=1e-5, atol=1e-5)


@compiled
def test_adapters_by_row() -> None:
    width, bottleneck, places = 72, 21, torch.tensor([1, -1, 0, 1])
    sizes = [(width,), (width,), (width, bottleneck), (bottleneck,), (bottleneck, width), (width,)]
    layer = tuple(drawn(2, *size, seed=i) for i, size in enumerate(sizes))
    x = drawn(4, 1, width, seed=9)
    found = kernels.residual(x, places, layer, EPSILON)
    assert found is not None
    assert torch.equal(found[1], x[1]), "a row without an adapter stays as it is"
    for row in (0, 2, 3):
        scale, shift, down, down_bias, up, up_bias = (t[places[row]] for t in layer)
        normal = F.layer_norm(x[row], (width,), scale, shift, EPSILON)
        wanted = x[row] + F.relu(normal @ down + down_bias) @ up + up_bias
        torch.testing.assert_close(found[row], wanted, rtol=1e-4, atol=1e-3)
        alone = kernels.residual(x[row : row + 1], torch.tensor([0]), tuple(t[places[row]] for t in layer), EPSILON)
        assert alone is not None
        assert torch.equal(alone[0], found[row])
    wide = [F.pad(t, (0, 11)) if i in (2, 3) else F.pad(t, (0, 0, 0, 11)) if i == 4 else t for i, t in enumerate(layer)]
    filled = kernels.residual(x, places, tuple(t.contiguous() for t in wide), EPSILON)
    assert filled is not None
    assert torch.equal(filled, found), "filled up to the bottleneck of a wider one"
    odd = tuple(t[..., :-1] if t.shape[-1] == width else t for t in layer)
    assert kernels.residual(x, places, odd, EPSILON) is None, "not of whole lanes: torch's way is taken"
