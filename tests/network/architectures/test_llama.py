"""The decoder computes what transformers' Llama, Mistral, Qwen2 and Qwen3 compute, with padding and with a cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PLACES, Place, fresh_adapter, placed
from drafts import forked
from llama_folders import SIZES, VOCAB, make_model

from adapterbot.errors import BackboneError
from adapterbot.network.architectures.cache import Cache, Layout
from adapterbot.network.architectures.llama import Llama
from adapterbot.network.backbone import Backbone, read_backbone, save_backbone

NEAR = {torch.float32: 1e-4, torch.bfloat16: 0.2}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, a head of its own": ("llama", {"tie_word_embeddings": False}),
    "llama, keys of each head its own": ("llama", {"num_key_value_heads": 6}),
    "llama, heads of another width, theta, epsilon": (
        "llama",
        {"head_dim": 10, "rms_norm_eps": 1e-3, "rope_parameters": {"rope_type": "default", "rope_theta": 1e5}},
    ),
    "llama, scaled as llama-3": ("llama", {"rope_parameters": LLAMA3}),
    "llama, linearly scaled": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}},
    ),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral, untied": ("mistral", {"sliding_window": 4096, "tie_word_embeddings": False}),
    "qwen2": ("qwen2", {}),
    "qwen2, untied": ("qwen2", {"tie_word_embeddings": False}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "qwen3, untied": ("qwen3", {"head_dim": 16, "tie_word_embeddings": False}),
}
CONFIG = {"model_type": "llama", **SIZES}


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Backbone, Any]:
    """The same random model, loaded by us and by transformers."""
    kind, changes = VARIANTS[request.param]
    folder = tmp_path_factory.mktemp("model")
    model = make_model(kind, folder, **changes)
    return read_backbone(folder), model


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A little Llama whose heads share keys."""
    folder = tmp_path_factory.mktemp("model")
    make_model("llama", folder)
    return read_backbone(folder, "little")


def drawn(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(2, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def logits(backbone: Backbone, hidden: torch.Tensor) -> torch.Tensor:
    return backbone.decoder.logits(hidden).float()


def far(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert theirs.std() > 0.1, "the comparison needs logits that differ"
    return float((ours - theirs).abs().max())


@torch.inference_mode()
def test_logits_are_those_of_transformers(pair: tuple[Backbone, Any]) -> None:
    backbone, model = pair
    ids = drawn(3, 90)
    assert far(logits(backbone, backbone.decoder(ids)), model(ids).logits) < 1e-4


@torch.inference_mode()
def test_rows_of_their_own_length_and_single_steps_are_those_of_transformers(pair: tuple[Backbone, Any]) -> None:
    """Padded rows into a cache, a few tokens each, one token each, then forks of them."""
    backbone, model = pair
    rows = drawn(2, 20)
    cache = Cache(backbone.shape, 2, 20)
    lengths = [4, 11]
    found = [list(logits(backbone, backbone.decoder(rows[:, :11], None, cache, lengths)))]
    starts = [list(lengths)]
    for new in (3, 1, 1):
        at = starts[-1]
        part = torch.stack([row[start : start + new] for row, start in zip(rows, at, strict=True)])
        found.append(list(logits(backbone, backbone.decoder(part, None, cache))))
        starts.append([start + new for start in at])
    fork = forked(cache, [1, 0, 1], room=1)
    more = torch.stack([rows[1, 16:17], rows[0, 9:10], rows[1, 16:17]])
    last = logits(backbone, backbone.decoder(more, None, fork))
    for b, end in enumerate(starts[-1]):
        wanted = model(rows[b : b + 1, : end + 1]).logits[0]
        ours = torch.cat([found[0][b][: lengths[b]], *(part[b] for part in found[1:]), last[1 - b]])
        assert far(ours, wanted) < 1e-4
    assert torch.equal(last[0], last[2])


@torch.inference_mode()
@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("steps", [[12], [1] * 12, [5, 1, 1, 4, 1]])
def test_a_cache_changes_nothing_on_any_device(small: Backbone, place: Place, steps: list[int]) -> None:
    backbone = placed(small, place)
    ids = drawn(2, 12).to(backbone.device)
    cache = Cache(backbone.shape, 2, 12, device=backbone.device, dtype=backbone.dtype)
    assert cache.kv.shape == (3, 2, 2, 2, 65, 8), "two heads of keys and values, not six"
    hidden = torch.cat([backbone.decoder(part, None, cache) for part in ids.split(steps, 1)], 1)
    wanted = logits(backbone, backbone.decoder(ids))
    assert far(logits(backbone, hidden), wanted) < NEAR[backbone.dtype]


@torch.inference_mode()
def test_padding_at_the_right_is_never_seen(small: Backbone) -> None:
    ids = drawn(1, 6)
    padded = torch.cat([ids, torch.tensor([[1, 1, 1]])], 1)
    torch.testing.assert_close(small.decoder(padded)[:, :6], small.decoder(ids), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_trunk_and_the_blocks_above_it_make_the_whole(small: Backbone) -> None:
    ids = drawn(2, 6)
    decoder, layout = small.decoder, Layout.of(ids)
    for first in range(small.shape.layers + 1):
        trunk = decoder.blocks(decoder.embed(ids, layout), range(first), layout)
        hidden = decoder.norm(decoder.blocks(trunk, range(first, small.shape.layers), layout))
        assert torch.equal(hidden, decoder(ids))


def test_gradients_reach_an_adapter_and_nothing_else(small: Backbone) -> None:
    adapter = fresh_adapter(small)
    ids = drawn(2, 8)
    bare = small.decoder(ids)
    hidden = small.decoder(ids, adapter.adapters())
    assert torch.equal(hidden, bare), "an untrained adapter changes nothing"
    small.decoder.logits(hidden).logsumexp(-1).sum().backward()
    gradients = {n: p.grad for n, p in adapter.named_parameters()}
    assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())
    assert gradients["up_weight"] is not None
    assert gradients["up_weight"].abs().sum() > 0
    assert all(p.grad is None for p in small.decoder.parameters())


def test_a_saved_model_is_the_same_for_us_and_for_transformers(pair: tuple[Backbone, Any], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    backbone, _ = pair
    save_backbone(tmp_path, backbone.decoder, backbone.tokenizer, {})
    again = read_backbone(tmp_path)
    assert again.shape == backbone.shape
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    ids = drawn(2, 40)
    with torch.inference_mode():
        assert far(logits(again, again.decoder(ids)), model(ids).logits) < 1e-4


def test_first_weights_are_drawn_by_the_seed_and_matrices_are_those_of_the_blocks(small: Backbone) -> None:
    one, same, other = (Llama(small.shape) for _ in range(3))
    for decoder, seed in ((one, 1), (same, 1), (other, 2)):
        decoder.draw(torch.Generator().manual_seed(seed))
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(p, q) for p, q, _ in pairs)
    assert sum(not torch.equal(p, r) for p, _, r in pairs) == 1 + 4 * 3
    assert one.logits(one(torch.tensor([[1, 2, 3]]))).shape == (1, 3, VOCAB)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A little model as it lies on a disk."""
    make_model("llama", tmp_path / "model")
    return tmp_path / "model"


def test_tensors_that_do_not_fit_the_config_are_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())

    def changed(**changes: Any) -> None:
        (folder / "config.json").write_text(json.dumps(config | changes))

    for changes, message in (
        ({"tie_word_embeddings": False}, r"lacks 1 tensors, such as lm_head\.weight"),
        ({"model_type": "qwen2"}, r"lacks 9 tensors, such as model\.layers\.0\.self_attn\.k_proj\.bias"),
        ({"num_hidden_layers": 2}, r"9 tensors that are not computed, such as model\.layers\.2\.input_layernorm"),
        ({"num_key_value_heads": 3}, r"k_proj\.weight has shape \[16, 48\], by the config it has \[24, 48\]"),
        ({"vocab_size": 9000}, r"embed_tokens\.weight has shape \[8192, 48\], by the config it has \[9000, 48\]"),
        ({"vocab_size": 8000}, "the tokenizer has 8192 tokens, the model 8000"),
    ):
        changed(**changes)
        with pytest.raises(BackboneError, match=message) as caught:
            read_backbone(folder)
        assert "\n" not in str(caught.value)
