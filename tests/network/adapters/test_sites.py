"""Every site where an adapter can act is asked by the decoder, with a cache and without, for its own rows alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from adapterbot.network.adapters import AdapterKind, BatchAdapters, Rows
from adapterbot.network.architectures import Prefix
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.architectures.gpt2 import GPT2, Block
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.backbone import Backbone
from adapterbot.spec.tables import AdapterTable

LAYER = 1
IDS = torch.randint(2, 8192, (3, 6), generator=torch.Generator().manual_seed(0))
SOME = (0, None, 1)  # the adapters of three rows


class Site(AdapterKind):
    """The least that a kind of adapter is."""

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        self.weights = {name: torch.stack([w[name] for w in weights]) for name in weights[0]}

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        return {}

    @classmethod
    def tensors(cls, given: Mapping[str, tuple[int, ...]], shape: Shape) -> dict[str, tuple[int, ...]]:
        return {}


class LoRA(Site):
    """x A B beside one linear map (Hu et al. 2021)."""

    name = "lora"
    sites = frozenset({"delta"})
    linear = "c_attn"

    def delta(self, linear: str, layer: int, x: Tensor, rows: Rows) -> Tensor | float:
        if (linear, layer) != (self.linear, LAYER):
            return 0.0
        return rows.linear(rows.linear(x, self.weights["a"]), self.weights["b"])


class Scaling(Site):
    """What a sublayer adds, times a number."""

    name = "scaling"

    def __init__(self, site: str, factors: Sequence[float]) -> None:
        super().__init__([{"factor": torch.tensor(f)} for f in factors], Shape(1, 1, 1, 1, 1, 1))
        self.sites = frozenset({site})  # type: ignore[misc]

    def after_attention(self, layer: int, x: Tensor, rows: Rows) -> Tensor:
        factor = self.weights["factor"][:, None, None]
        return rows.scatter(x, rows.gather(x) * factor) if layer == LAYER else x

    after_mlp = after_attention


class Prefixes(Site):
    """Keys and values before those of the tokens (Li and Liang 2021)."""

    name = "prefix"
    sites = frozenset({"prefix"})

    def __init__(self, keys: Tensor, values: Tensor, seen: Tensor) -> None:
        self.of_layers = [Prefix(k, v, seen) for k, v in zip(keys, values, strict=True)]  # keys [L, B, H, P, d/H]

    def prefix(self, layer: int, rows: Rows) -> Prefix:
        return self.of_layers[layer]


def block(decoder: GPT2) -> Block:
    part = decoder.h[LAYER]
    assert isinstance(part, Block)
    return part


def changed(backbone: Backbone) -> GPT2:
    decoder = copy.deepcopy(backbone.decoder)
    assert isinstance(decoder, GPT2)
    return decoder


def in_steps(backbone: Backbone, adapters: BatchAdapters) -> Tensor:
    cache = Cache(backbone.shape, len(IDS), IDS.shape[1])
    return torch.cat([backbone.decoder(part, adapters, cache) for part in IDS.split([3, 1, 2], 1)], 1)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("linear", GPT2.linears)
def test_a_delta_is_added_to_the_weights_of_a_linear_map(
    tiny: Backbone, monkeypatch: pytest.MonkeyPatch, linear: str
) -> None:
    monkeypatch.setattr(LoRA, "linear", linear)
    draw = torch.Generator().manual_seed(1)
    outputs, inputs = getattr(block(changed(tiny)), linear).weight.shape
    weights = [
        {"a": torch.randn(inputs, 2, generator=draw), "b": torch.randn(2, outputs, generator=draw)} for _ in range(2)
    ]
    adapters = BatchAdapters([(LoRA(weights, tiny.shape), Rows(SOME))])
    hidden = tiny.decoder(IDS, adapters)
    for row, number in enumerate(SOME):
        decoder = changed(tiny)
        if number is not None:
            getattr(block(decoder), linear).weight += (weights[number]["a"] @ weights[number]["b"]).T
        close(hidden[row], decoder(IDS)[row])
    assert not torch.allclose(hidden[0], tiny.decoder(IDS)[0], atol=0.01)
    close(in_steps(tiny, adapters), hidden)


@torch.inference_mode()
@pytest.mark.parametrize(("site", "projection"), [("after_attention", "c_proj"), ("after_mlp", "mlp_proj")])
def test_what_a_sublayer_adds_is_changed_before_it_is_added(tiny: Backbone, site: str, projection: str) -> None:
    factors = (0.5, -2.0)
    adapters = BatchAdapters([(Scaling(site, factors), Rows(SOME))])
    hidden = tiny.decoder(IDS, adapters)
    for row, number in enumerate(SOME):
        decoder = changed(tiny)
        for parameter in getattr(block(decoder), projection).parameters():
            parameter *= 1.0 if number is None else factors[number]
        close(hidden[row], decoder(IDS)[row])
    assert not torch.allclose(hidden[0], tiny.decoder(IDS)[0], atol=0.01)
    close(in_steps(tiny, adapters), hidden)


@torch.inference_mode()
def test_a_prefix_is_seen_by_all_tokens_of_its_rows(tiny: Backbone) -> None:
    """The same as keys and values that a cache already holds, for tokens that count their positions from 0."""
    draw = torch.Generator().manual_seed(2)
    shape, length = tiny.shape, 3
    size = (shape.layers, len(IDS), shape.heads, length, shape.head_width)
    keys, values = torch.randn(size, generator=draw), torch.randn(size, generator=draw)
    seen = torch.tensor([[True] * 3, [False] * 3, [True, False, False]])
    adapters = BatchAdapters([(Prefixes(keys, values, seen), Rows([0, 0, 0]))])
    hidden = tiny.decoder(IDS, adapters)
    for row, count in ((0, 3), (2, 1)):
        cache = Cache(shape, 1, count + IDS.shape[1])
        cache.kv[:, 0, 0, :, :count] = keys[:, row, :, :count]
        cache.kv[:, 1, 0, :, :count] = values[:, row, :, :count]
        cache.lengths = [count]
        layout = replace(cache.layout(IDS.shape[1]), positions=torch.arange(IDS.shape[1])[None])
        x = tiny.decoder.embed(IDS[row : row + 1], layout)
        close(hidden[row], tiny.decoder.norm(tiny.decoder.blocks(x, range(shape.layers), layout))[0])
    close(hidden[1], tiny.decoder(IDS)[1])
    assert not torch.allclose(hidden[0], tiny.decoder(IDS)[0], atol=0.01)
    close(in_steps(tiny, adapters), hidden)


@torch.inference_mode()
def test_kinds_of_several_sites_work_together(tiny: Backbone) -> None:
    scaling = Scaling("after_mlp", (0.5,)), Scaling("after_attention", (2.0,))
    adapters = BatchAdapters([(scaling[0], Rows([0, None, 0])), (scaling[1], Rows([None, None, 0]))])
    assert adapters.sites == {"after_mlp", "after_attention"}
    hidden = tiny.decoder(IDS, adapters)
    one = tiny.decoder(IDS, BatchAdapters([(scaling[0], Rows([0, 0, 0]))]))
    decoder = changed(tiny)
    for name, factor in (("mlp_proj", 0.5), ("c_proj", 2.0)):
        for parameter in getattr(block(decoder), name).parameters():
            parameter *= factor
    close(hidden[0], one[0])
    assert torch.equal(hidden[1], tiny.decoder(IDS)[1])
    close(hidden[2], decoder(IDS)[2])
