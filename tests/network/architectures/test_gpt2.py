"""The decoder computes what transformers' GPT-2 computes, with and without cache and padding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_tiny

from adapterbot.errors import BackboneError
from adapterbot.home import DATA
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.architectures.gpt2 import Decoder, from_hugging_face
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.backbone import Backbone, read_backbone

CONFIG = {"model_type": "gpt2", "vocab_size": 10, "n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 2}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "untied": {"tie_word_embeddings": False},
    "n_inner": {"n_inner": 48},
    "exact gelu, other epsilon": {"activation_function": "gelu", "layer_norm_epsilon": 1e-3},
}


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Backbone, Any]:
    """The same random model, loaded by us and by transformers."""
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=8192, n_positions=64, n_embd=32, n_layer=3, n_head=4, **VARIANTS[request.param])
    model = GPT2LMHeadModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.tie_weights()
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    shutil.copy(DATA / "backbone" / "tokenizer.json", folder)
    return read_backbone(folder), model


@torch.inference_mode()
def test_logits_are_those_of_transformers(pair: tuple[Backbone, Any]) -> None:
    backbone, model = pair
    ids = torch.randint(0, 8192, (3, 64), generator=torch.Generator().manual_seed(1))
    ours, theirs = backbone.decoder.logits(backbone.decoder(ids)), model(ids).logits
    assert theirs.std() > 0.1, "the comparison needs logits that differ"
    assert (ours - theirs).abs().max() < 1e-4


@torch.inference_mode()
def test_the_embedded_backbone_gives_the_logits_of_transformers() -> None:
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    backbone = read_backbone(DATA / "backbone")
    model = GPT2LMHeadModel.from_pretrained(DATA / "backbone", dtype=torch.float32).eval()
    ids = torch.tensor([backbone.tokenizer.encode("Hello there! How are you doing today, my friend?")])
    assert (backbone.decoder.logits(backbone.decoder(ids)) - model(ids).logits).abs().max() < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize("steps", [[12], [1] * 12, [5, 1, 1, 4, 1], [1, 11]])
def test_a_cache_changes_nothing(tiny: Backbone, steps: list[int]) -> None:
    ids = torch.randint(0, 8192, (2, 12), generator=torch.Generator().manual_seed(2))
    cache = Cache(tiny.shape, 2, 12)
    parts = [tiny.decoder(part, None, cache) for part in ids.split(steps, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), tiny.decoder(ids), rtol=1e-4, atol=1e-4)
    assert cache.length == 12


@torch.inference_mode()
def test_padding_at_the_left_changes_nothing(tiny: Backbone) -> None:
    draw = torch.Generator().manual_seed(3)
    rows = [torch.randint(0, 8192, (n,), generator=draw) for n in (9, 4, 1)]
    more = torch.randint(0, 8192, (3, 4), generator=draw)
    ids = torch.stack([torch.cat([torch.full((9 - len(row),), 1), row]) for row in rows])
    cache = Cache(tiny.shape, 3, 13, torch.tensor([0, 5, 8]))
    first = tiny.decoder(ids, None, cache)
    then = torch.cat([tiny.decoder(part, None, cache) for part in more.split([1, 3], 1)], 1)
    for i, row in enumerate(rows):
        alone = tiny.decoder(torch.cat([row, more[i]])[None])[0]
        torch.testing.assert_close(first[i, 9 - len(row) :], alone[: len(row)], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(then[i], alone[len(row) :], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_padding_at_the_right_is_never_seen(tiny: Backbone) -> None:
    ids = torch.randint(0, 8192, (1, 6), generator=torch.Generator().manual_seed(4))
    padded = torch.cat([ids, torch.tensor([[1, 1, 1]])], 1)
    torch.testing.assert_close(tiny.decoder(padded)[:, :6], tiny.decoder(ids), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_selected_rows_of_a_cache_go_on_independently(tiny: Backbone) -> None:
    ids = torch.randint(0, 8192, (2, 5), generator=torch.Generator().manual_seed(5))
    cache = Cache(tiny.shape, 2, 7, torch.tensor([0, 0]))
    tiny.decoder(ids, None, cache)
    shared = cache.select(torch.tensor([1, 0, 1]))
    new = torch.tensor([[7], [8], [9]])
    grown = tiny.decoder(new, None, shared)
    for row, owner in enumerate((1, 0, 1)):
        alone = tiny.decoder(torch.cat([ids[owner], new[row]])[None])[0, -1]
        torch.testing.assert_close(grown[row, 0], alone, rtol=1e-4, atol=1e-4)
    assert cache.length == 5, "the original cache is not touched"


@torch.inference_mode()
def test_trunk_and_finish_make_the_whole(tiny: Backbone) -> None:
    ids = torch.randint(0, 8192, (2, 6), generator=torch.Generator().manual_seed(6))
    for layers in range(tiny.shape.layers + 1):
        assert torch.equal(tiny.decoder.finish(tiny.decoder.trunk(ids, layers), layers), tiny.decoder(ids))


@pytest.mark.parametrize("kind", ["llama", "gpt_neo", "gptj", "bert", None])
def test_another_type_of_model_is_refused_in_one_line(tmp_path: Path, kind: str | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "model_type": kind}))
    with pytest.raises(BackboneError, match=f"model_type {kind!r} is not supported") as caught:
        read_backbone(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"scale_attn_by_inverse_layer_idx": True},
        {"scale_attn_weights": False},
        {"add_cross_attention": True},
        {"activation_function": "relu"},
        {"n_embd": "wide"},
        {"n_head": 3},
        {"n_head": 0},
    ],
)
def test_a_variant_that_is_not_computed_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BackboneError):
        Shape.from_config(CONFIG | change)


@pytest.mark.parametrize("key", [k for k in CONFIG if k != "model_type"])
def test_a_config_that_lacks_a_number_is_refused(key: str) -> None:
    with pytest.raises(BackboneError, match=key):
        Shape.from_config({k: v for k, v in CONFIG.items() if k != key})


def test_the_config_is_read() -> None:
    assert Shape.from_config(CONFIG) == Shape(vocab=10, positions=8, width=4, layers=1, heads=2, inner=16)
    assert Shape.from_config(CONFIG | {"n_inner": 5, "tie_word_embeddings": False}).inner == 5


def test_a_missing_tensor_is_named() -> None:
    shape = make_tiny().shape
    with pytest.raises(BackboneError, match=r"lacks 28 tensors, such as h\.0\.attn"):
        from_hugging_face({}, shape)


def test_a_decoder_made_anew_is_random_but_of_the_shape() -> None:
    shape = Shape(vocab=10, positions=8, width=4, layers=1, heads=2, inner=16, tied=False)
    decoder = Decoder(shape)
    assert decoder.logits(decoder(torch.tensor([[1, 2, 3]]))).shape == (1, 3, 10)
