"""The decoder computes what transformers' GPT-2 computes, with and without padding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import VOCABULARY, make_tiny

from adapterbot.errors import BackboneError
from adapterbot.network import architectures
from adapterbot.network.architectures import families
from adapterbot.network.architectures.cache import Layout
from adapterbot.network.architectures.gpt2 import GPT2
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.backbone import Backbone, read_backbone, save_backbone

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
    shutil.copy(VOCABULARY / "tokenizer.json", folder)
    return read_backbone(folder), model


@torch.inference_mode()
def test_logits_are_those_of_transformers(pair: tuple[Backbone, Any]) -> None:
    backbone, model = pair
    ids = torch.randint(0, 8192, (3, 64), generator=torch.Generator().manual_seed(1))
    ours, theirs = backbone.decoder.logits(backbone.decoder(ids)), model(ids).logits
    assert theirs.std() > 0.1, "the comparison needs logits that differ"
    assert (ours - theirs).abs().max() < 1e-4


@torch.inference_mode()
def test_padding_at_the_right_is_never_seen(tiny: Backbone) -> None:
    ids = torch.randint(0, 8192, (1, 6), generator=torch.Generator().manual_seed(4))
    padded = torch.cat([ids, torch.tensor([[1, 1, 1]])], 1)
    torch.testing.assert_close(tiny.decoder(padded)[:, :6], tiny.decoder(ids), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_trunk_and_the_blocks_above_it_make_the_whole(tiny: Backbone) -> None:
    ids = torch.randint(0, 8192, (2, 6), generator=torch.Generator().manual_seed(6))
    decoder, layout = tiny.decoder, Layout.of(ids)
    for first in range(tiny.shape.layers + 1):
        trunk = decoder.blocks(decoder.embed(ids, layout), range(first), layout)
        hidden = decoder.norm(decoder.blocks(trunk, range(first, tiny.shape.layers), layout))
        assert torch.equal(hidden, decoder(ids))


@torch.inference_mode()
def test_a_token_is_embedded_with_its_position(tiny: Backbone) -> None:
    ids = torch.tensor([[5, 9, 5]])
    embedded = tiny.decoder.embed(ids, Layout.of(ids))
    assert not torch.equal(embedded[0, 0], embedded[0, 2])


def test_first_weights_are_drawn_by_the_seed_and_matrices_are_those_of_the_blocks() -> None:
    one, same, other = (GPT2(make_tiny().shape) for _ in range(3))
    for decoder, seed in ((one, 1), (same, 1), (other, 2)):
        decoder.draw(torch.Generator().manual_seed(seed))
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(p, q) for p, q, _ in pairs)
    assert sum(not torch.equal(p, r) for p, _, r in pairs) == 2 + 4 * 2, (
        "all matrices, of two layers and two embeddings"
    )


class Doubled(GPT2):
    """Another family, in a folder of its own: all logits are twice GPT-2's."""

    model_types = ("twice",)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return 2 * super().logits(hidden)


def test_a_file_more_is_a_family_more(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = read_backbone(folder)
    place = tmp_path / "families"
    place.mkdir()
    (place / "twice.py").write_text("import test_gpt2\nARCHITECTURE = test_gpt2.Doubled\n")
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(place)])
    families._families.cache_clear()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "twice"}))
    try:
        backbone = read_backbone(folder)
    finally:
        families._families.cache_clear()
    ids = torch.tensor([[3, 4, 5]])
    assert isinstance(backbone.decoder, Doubled)
    assert backbone.fingerprint == plain.fingerprint
    assert torch.equal(backbone.decoder.logits(backbone.decoder(ids)), 2 * plain.decoder.logits(plain.decoder(ids)))


@pytest.fixture
def folder(tiny: Backbone, tmp_path: Path) -> Path:
    """The tiny model as it lies on a disk."""
    save_backbone(tmp_path / "model", tiny.decoder, tiny.tokenizer, {})
    return tmp_path / "model"


@pytest.mark.parametrize("kind", ["mamba", "gpt_neo", "gptj", "bert", None])
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
        GPT2.read_config(CONFIG | change)


@pytest.mark.parametrize("key", [k for k in CONFIG if k != "model_type"])
def test_a_config_that_lacks_a_number_is_refused(key: str) -> None:
    with pytest.raises(BackboneError, match=key):
        GPT2.read_config({k: v for k, v in CONFIG.items() if k != key})


def test_the_config_is_read() -> None:
    assert GPT2.read_config(CONFIG) == Shape(vocab=10, positions=8, width=4, layers=1, heads=2, inner=16)
    assert GPT2.read_config(CONFIG | {"n_inner": 5, "tie_word_embeddings": False}).inner == 5


def test_a_missing_tensor_is_named() -> None:
    shape = make_tiny().shape
    with pytest.raises(BackboneError, match=r"lacks 28 tensors, such as h\.0\.attn"):
        GPT2.from_pretrained({}, shape)


def test_a_decoder_made_anew_is_random_but_of_the_shape() -> None:
    shape = Shape(vocab=10, positions=8, width=4, layers=1, heads=2, inner=16, tied=False)
    decoder = GPT2(shape)
    assert decoder.logits(decoder(torch.tensor([[1, 2, 3]]))).shape == (1, 3, 10)
