"""The int8 form of a backbone: made once, whole or not there, near the float one, with its fingerprint."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import VOCABULARY, fresh_adapter, make_tiny
from torch import Tensor

from adapterbot.errors import BackboneError, WriteError
from adapterbot.home import Home
from adapterbot.network import backbone as backbones
from adapterbot.network import converted, int8, kernels
from adapterbot.network.architectures import Architecture
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.architectures.llama import Llama
from adapterbot.network.architectures.shape import Rope, Shape
from adapterbot.network.backbone import Backbone, freeze, load_backbone, read_backbone, save_backbone
from adapterbot.network.tokenizer import Tokenizer

LLAMA = Shape(8192, 128, 64, 2, 4, 128, activation="silu", kv_heads=2, rope=Rope(10_000.0))
SHAPES = {
    "llama": LLAMA,
    "llama, untied": replace(LLAMA, tied=False),
    "qwen2": replace(LLAMA, qkv_bias=True),
    "qwen3": replace(LLAMA, qk_norm=True, head_width=32),
}


def make(kind: str) -> Backbone:
    """A little backbone of random weights."""
    if kind == "gpt2":
        return make_tiny(width=64)
    decoder = Llama(SHAPES[kind])
    torch.manual_seed(0)
    decoder.draw(torch.Generator().manual_seed(0))
    for name, parameter in decoder.named_parameters():
        if name.endswith("bias") or "norm" in name:
            torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.1)
        elif "layers" in name:
            parameter.data *= 8
    return Backbone(kind, freeze(decoder), Tokenizer.from_folder(VOCABULARY), "f" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A little Llama as it lies on a disk."""
    made = make("llama")
    save_backbone(tmp_path / "little", made.decoder, made.tokenizer, {})
    return tmp_path / "little"


def kept(home: Home) -> list[str]:
    """All that lies among the backbones of a home."""
    return sorted(path.name for path in home.backbones.glob("**/*")) if home.backbones.is_dir() else []


@torch.inference_mode()
def logits(decoder: Architecture, ids: Tensor) -> Tensor:
    return decoder.logits(decoder(ids))


def drawn(rows: int, length: int) -> Tensor:
    return torch.randint(2, 8192, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["gpt2", *SHAPES])
def test_it_is_near_the_float_one_and_the_same_from_its_file(kind: str, tmp_path: Path) -> None:
    plain = make(kind)
    parts = converted.convert(plain.decoder, plain.tokenizer)
    config = plain.decoder.config()
    made = converted.assemble(type(plain.decoder), config, parts)
    path = tmp_path / "made.int8-1.safetensors"
    converted.write_converted(path, plain.decoder, parts, plain.tokenizer, plain.fingerprint)
    found = converted.read_converted(path)
    ids = drawn(2, 30)
    wanted, ours = logits(plain.decoder, ids), logits(made, ids)
    assert (ours - wanted).norm() / wanted.norm() < 0.1
    assert torch.equal(logits(found.decoder, ids), ours)
    assert found.fingerprint == plain.fingerprint
    assert found.decoder.shape == plain.shape
    assert found.decoder.parameter_count == plain.parameter_count
    assert found.decoder.dtype == torch.float32
    assert found.tokenizer.encode("Hello there, 1984!") == plain.tokenizer.encode("Hello there, 1984!")


@torch.inference_mode()
def test_with_a_cache_and_in_a_batch_it_says_the_same(folder: Path) -> None:
    backbone = load_backbone(folder, dtype=torch.int8)
    ids = drawn(3, 9)
    whole = logits(backbone.decoder, ids)
    cache = Cache(backbone.shape, 3, 9, dtype=backbone.dtype)
    steps = torch.cat([backbone.decoder(part, None, cache) for part in ids.split([5, 1, 1, 2], 1)], 1)
    # Several tokens of a row at a time have weights of 7 bits where there is no VNNI, single ones have 8.
    near = 0.06 if kernels.usable() and not torch.cpu._is_vnni_supported() else 0.02
    assert (backbone.decoder.logits(steps) - whole).norm() / whole.norm() < near
    float_ones = logits(load_backbone(folder, dtype=torch.float32).decoder, ids)
    assert (backbone.decoder.logits(steps) - float_ones).norm() <= 1.02 * (whole - float_ones).norm()
    alone = torch.cat([logits(backbone.decoder, row[None]) for row in ids])
    assert (alone - whole).norm() / whole.norm() < 0.02


def test_it_is_made_once_and_has_the_fingerprint_of_the_weights(folder: Path, home: Home) -> None:
    plain = load_backbone(folder)
    assert not plain.rounded
    assert kept(home) == []
    said: list[str] = []
    first = load_backbone(folder, dtype=torch.int8, announce=said.append)
    assert said == [f"preparing {folder} for this processor (once)"]
    assert len(kept(home)) == 1
    again = load_backbone(folder, dtype=torch.int8, announce=said.append)
    assert len(said) == 1
    for backbone in (first, again):
        assert backbone.rounded == int8.kernel_here()
        assert backbone.fingerprint == plain.fingerprint
        assert not any(p.requires_grad for p in backbone.decoder.parameters())
    ids = drawn(1, 8)
    assert torch.equal(logits(first.decoder, ids), logits(again.decoder, ids))
    assert load_backbone(folder, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_large_models_answer_in_int8_where_nothing_else_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "LARGE", 1000)
    assert load_backbone(folder).rounded == int8.kernel_here()
    assert not load_backbone(folder, dtype=torch.float32).rounded
    assert not read_backbone(folder).rounded
    monkeypatch.setattr(backbones, "kernel_here", lambda: False)
    assert not load_backbone(folder).rounded


def test_other_weights_in_the_same_place_are_another_model(folder: Path, home: Home) -> None:
    load_backbone(folder, dtype=torch.int8)
    before = kept(home)
    other = make("llama")
    other.decoder.get_parameter("final_norm.weight").data += 1
    save_backbone(folder, other.decoder, other.tokenizer, {})
    os.utime(folder / "model.safetensors", ns=(5, 5))
    found = load_backbone(folder, dtype=torch.int8)
    assert found.fingerprint == read_backbone(folder).fingerprint
    assert len(kept(home)) == 1, "the form of the weights that were is gone"
    assert kept(home) != before


def test_a_full_disk_leaves_nothing_behind_and_the_bot_answers(
    folder: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(converted, "save_file", full)
    said: list[str] = []
    backbone = load_backbone(folder, dtype=torch.int8, announce=said.append)
    assert kept(home) == []
    assert "cannot be written: No space left on device; it has to be prepared anew at every start" in said[1]
    assert len(said) == 2
    assert logits(backbone.decoder, drawn(1, 4)).isfinite().all()
    plain = make("llama")
    parts = converted.convert(plain.decoder, plain.tokenizer)
    with pytest.raises(WriteError, match="No space left on device"):
        converted.write_converted(home.backbones / "x", plain.decoder, parts, plain.tokenizer, "")
    assert kept(home) == []


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_file_is_named_in_one_line(folder: Path, home: Home, content: bytes) -> None:
    load_backbone(folder, dtype=torch.int8)
    (home.backbones / kept(home)[0]).write_bytes(content)
    with pytest.raises(BackboneError, match=r"is damaged .*; delete it, and it is made anew") as caught:
        load_backbone(folder, dtype=torch.int8)
    assert "\n" not in str(caught.value)


def test_what_was_fetched_lies_in_the_home_for_its_owner_alone(folder: Path, home: Home) -> None:
    load_backbone(folder, dtype=torch.int8)
    (file,) = home.backbones.iterdir()
    if os.name == "posix":
        assert file.stat().st_mode & 0o077 == 0
        assert home.backbones.stat().st_mode & 0o077 == 0
    shutil.rmtree(home.root)


@pytest.mark.skipif(not int8.kernel_here(), reason="torch has no int8 kernel for this processor")
def test_an_adapter_is_not_trained_on_it_unseen(folder: Path) -> None:
    backbone = load_backbone(folder, dtype=torch.int8)
    adapter = fresh_adapter(backbone)
    with pytest.raises(RuntimeError, match="nothing is trained through int8 weights"):
        backbone.decoder(drawn(1, 4), adapter.adapters())
    with torch.inference_mode():
        assert backbone.decoder(drawn(1, 4), adapter.adapters()).shape == (1, 4, 64)
