"""What each kind computes is its paper's formula, written out here by other means."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from conftest import make_chatml, make_tiny
from test_kinds import close, ids_of, noisy
from torch import Tensor, nn

from adapterbot.network.adapters import AdapterKind, Rows
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.kinds import kind_of
from adapterbot.network.architectures.cache import Layout
from adapterbot.network.architectures.families import family_with
from adapterbot.network.backbone import Backbone

ROWS = Rows([0, 0])
DRAW = torch.Generator().manual_seed(0)
LAYER = 1


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return make_tiny(layers=3) if request.param == "gpt2" else make_chatml()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(5))


def made(backbone: Backbone, type: str) -> tuple[AdapterKind, Mapping[str, Tensor]]:
    file = noisy(backbone, type)
    return kind_of(type)([file.tensors], backbone.shape), file.tensors


def bottleneck(t: Mapping[str, Tensor], place: str, x: Tensor) -> Tensor:
    small = torch.relu(x @ t[f"{place}down.weight"][LAYER] + t[f"{place}down.bias"][LAYER])
    return small @ t[f"{place}up.weight"][LAYER] + t[f"{place}up.bias"][LAYER]


def test_houlsby_is_a_bottleneck_with_a_norm_of_its_own(backbone: Backbone, x: Tensor) -> None:
    kind, t = made(backbone, "houlsby")
    for place, site in (("attention.", kind.after_attention), ("mlp.", kind.after_mlp)):
        normal = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)
        normal = normal * t[f"{place}norm.weight"][LAYER] + t[f"{place}norm.bias"][LAYER]
        close(site(LAYER, x, ROWS), x + bottleneck(t, place, normal))


def test_pfeiffer_is_one_after_the_block_and_parallel_one_beside_the_mlp(backbone: Backbone, x: Tensor) -> None:
    kind, t = made(backbone, "pfeiffer")
    close(kind.after_block(LAYER, x, ROWS), x + bottleneck(t, "", x))
    kind, t = made(backbone, "parallel")
    added = kind.beside_mlp(LAYER, x, ROWS)
    assert isinstance(added, Tensor)
    close(added, 4 * bottleneck(t, "", x))


@torch.inference_mode()
def test_parallel_reads_the_input_of_the_mlp_and_adds_to_its_output(backbone: Backbone) -> None:
    """With an MLP that gives nothing, the block adds what the adapter makes of the normalised states."""
    _, t = made(backbone, "parallel")
    decoder = copy.deepcopy(backbone.decoder)
    for name in ("mlp_proj", "down_proj"):
        for module in decoder.modules():
            if isinstance(part := getattr(module, name, None), nn.Linear):
                for parameter in part.parameters():
                    parameter.zero_()
    ids = ids_of(2)
    norms: list[Tensor] = []
    adapters = AdapterBank(backbone, {"a": noisy(backbone, "parallel")}).select(["a", "a"])
    assert adapters is not None
    blocks = next(m for m in decoder.children() if isinstance(m, nn.ModuleList))
    norm = next(getattr(blocks[0], n) for n in ("ln_2", "mlp_norm") if hasattr(blocks[0], n))
    norm.register_forward_hook(lambda _m, _x, y: norms.append(y))
    layout = Layout.of(ids)
    start = decoder.embed(ids, layout)
    with_it, without = (decoder.blocks(start, range(1), layout, a) for a in (adapters, None))
    small = torch.relu(norms[0] @ t["down.weight"][0] + t["down.bias"][0])
    close(with_it - without, 4 * (small @ t["up.weight"][0] + t["up.bias"][0]))


@torch.inference_mode()
def test_lora_and_full_are_differences_of_weights(backbone: Backbone) -> None:
    """A model in whose weights they are merged computes the same."""
    ids = ids_of(2)
    projections = family_with(backbone.shape).projections(backbone.shape)
    for type in ("lora", "full"):
        _, t = made(backbone, type)
        decoder = copy.deepcopy(backbone.decoder)
        blocks = next(m for m in decoder.children() if isinstance(m, nn.ModuleList))
        for i, block in enumerate(blocks):
            for target, part in projections.items():
                linear = getattr(block, part.linear)
                if f"{target}.a" in t:
                    cut = slice(part.start, part.start + part.outputs)
                    linear.weight[cut] += 2 * (t[f"{target}.a"][i] @ t[f"{target}.b"][i]).T
            if type == "full":
                for name in {part.linear for part in projections.values()}:
                    linear = getattr(block, name)
                    linear.weight += t[f"{name}.weight"][i].T
                    plain = torch.zeros(len(linear.weight)) if linear.bias is None else linear.bias
                    linear.bias = nn.Parameter(plain + t[f"{name}.bias"][i])
        close(
            backbone.decoder(ids, AdapterBank(backbone, {"a": noisy(backbone, type)}).select(["a", "a"])), decoder(ids)
        )


@torch.inference_mode()
def test_a_prefix_stands_before_the_keys_and_values(backbone: Backbone) -> None:
    """Attention of one head over its keys and the tokens', written out."""
    kind, t = made(backbone, "prefix")
    shape = backbone.shape
    keys = kind.prefix(LAYER, Rows([0]))
    assert keys is not None
    wanted = t["keys"][LAYER].view(5, shape.kv_heads, shape.head_width)
    for p in range(5):
        for head in range(shape.kv_heads):
            assert torch.equal(keys.keys[0, head, p], wanted[p, head])


def test_a_prefix_that_counts_twice_is_a_prefix_twice(backbone: Backbone) -> None:
    file = noisy(backbone, "prefix")
    twice = type(file)({n: torch.cat([v, v], 1) for n, v in file.stored.items()}, file.metadata)
    bank = AdapterBank(backbone, {"a": file, "twice": twice, "doubled": file.scaled(2.0)})
    ids = ids_of(2)
    with torch.inference_mode():
        close(backbone.decoder(ids, bank.select(["2*a", "doubled"])), backbone.decoder(ids, bank.select(["twice"] * 2)))


def attention(heads: int, *qkv: Tensor) -> Tensor:
    """Causal, head by head."""
    read = []
    for a, b, c in zip(*(x.chunk(heads, -1) for x in qkv), strict=True):
        scores = a @ b.transpose(1, 2) / a.shape[-1] ** 0.5
        after = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        read.append(scores.masked_fill(after, -torch.inf).softmax(-1) @ c)
    return torch.cat(read, -1)


def normal(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def test_pals_are_attention_between_shared_projections(backbone: Backbone, x: Tensor) -> None:
    kind, t = made(backbone, "pals")
    small = normal(x) @ t["down.weight"][0]
    read = attention(4, *(small @ t[n][LAYER] for n in "qkv"))
    layout = Layout.of(torch.zeros(2, 5, dtype=torch.long))
    close(kind.around_block(LAYER, x, 3 * x, ROWS, layout), 3 * x + read @ t["up.weight"][0])


def test_a_k_adapter_reads_the_chosen_blocks_and_changes_what_follows_the_last(backbone: Backbone, x: Tensor) -> None:
    kind, t = made(backbone, "k_adapter")
    assert t["blocks"].tolist() == [0, 1, 2]
    layout = Layout.of(torch.zeros(2, 5, dtype=torch.long))
    carried = torch.zeros_like(x)
    for n in range(3):
        states = (n + 1) * x
        i = states + carried
        u = normal(i) @ t["down.weight"][n]
        u = u + attention(2, *(normal(u) @ t["qkv"][n, 0]).chunk(3, -1)) @ t["o"][n, 0]
        u = u + F.gelu(normal(u) @ t["inner"][n, 0]) @ t["outer"][n, 0]
        carried = i + u @ t["up.weight"][n]
        after = kind.around_block(n, x, states, ROWS, layout)
        if n < 2:
            assert torch.equal(after, states)
    close(after, 3 * x + u @ t["up.weight"][2])


@torch.inference_mode()
@pytest.mark.parametrize("type", ["residual", "houlsby", "lora", "parallel", "pals", "k_adapter", "full"])
def test_a_stack_acts_one_after_the_other_and_an_average_side_by_side(backbone: Backbone, type: str, x: Tensor) -> None:
    files = {"a": noisy(backbone, type, 1), "b": noisy(backbone, type, 2)}
    bank = AdapterBank(backbone, files)
    ids = ids_of(4)
    rows = ["a", "a+b", "0.5*a+0.5*b", None]
    hidden = backbone.decoder(ids, bank.select(rows))
    for row, skill in enumerate(rows):
        close(hidden[row], backbone.decoder(ids[row : row + 1], bank.select([skill]))[0])
    same = AdapterBank(backbone, {"a": files["a"], "b": files["a"]})
    close(backbone.decoder(ids, same.select(["0.25*a+0.75*b"] * 4)), backbone.decoder(ids, bank.select(["a"] * 4)))
    assert not torch.allclose(hidden[0], hidden[1], atol=1e-2)
    if type == "residual":
        (a, _), (b, _) = bank.select(["a"]).parts[0], bank.select(["b"]).parts[0]  # type: ignore[union-attr]
        stacked, averaged = bank.select(["a+b"] * 2), bank.select(["0.5*a+0.5*b"] * 2)
        assert stacked is not None
        assert averaged is not None
        close(stacked.after_block(1, x), b.after_block(1, a.after_block(1, x, ROWS), ROWS))
        close(averaged.after_block(1, x), (a.after_block(1, x, ROWS) + b.after_block(1, x, ROWS)) / 2)
