"""Packed rows: nothing crosses the border of a document, and nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import make_tiny

from adapterbot.errors import DataError
from adapterbot.network.architectures import Architecture
from adapterbot.network.backbone import Backbone
from adapterbot.network.tokenizer import IGNORE
from adapterbot.reply.prompt import encode
from adapterbot.training.documents import Document
from adapterbot.training.packing import PackedDecoder, load_packed, pack

SAID = ("How was the trip?", "Long, but the view from the train was wonderful.", "Tell me more!", "We saw two lakes.")
DOCUMENTS = [Document("a", (), SAID[: 1 + i % 4], tuple(range(1 + i % 4))) for i in range(30)] + [
    Document("b", ("The lake is called Como.",), SAID[:2], (1,)) for _ in range(10)
]


def test_packed_rows_give_every_document_the_loss_it_has_alone(tiny: Backbone) -> None:
    packed = pack(DOCUMENTS, tiny.tokenizer, 128, seed=0)
    assert len(packed.rows) < len(DOCUMENTS) / 2
    batch = packed.batch(range(len(packed.rows)), tiny.tokenizer.separator)
    model = PackedDecoder(tiny.decoder, dropout=0.0)
    with torch.inference_mode():
        together = model(batch)
        nats = 0.0
        count = 0
        for d in DOCUMENTS:
            row = encode(tiny.tokenizer, d.facts, d.utterances, positions=128, learn=d.learn)
            hidden = tiny.decoder(torch.tensor([row.ids]))
            labels = torch.tensor(row.labels[1:])
            nats += float(F.cross_entropy(tiny.decoder.logits(hidden)[0, :-1], labels, reduction="sum"))
            count += int((labels != IGNORE).sum())
    assert float(together) == pytest.approx(nats / count, rel=1e-4)


def test_every_document_stands_in_exactly_one_row_and_no_row_is_too_long(tiny: Backbone) -> None:
    packed = pack(DOCUMENTS, tiny.tokenizer, 128, seed=0)
    assert sorted(d for row in packed.rows for d in row) == list(range(len(DOCUMENTS)))
    sizes = torch.tensor(packed.ends.tolist()).diff(prepend=torch.tensor([0])).tolist()
    assert all(sum(sizes[d] for d in row) <= 128 for row in packed.rows)
    assert packed.tokens == sum(sizes)


def test_the_order_is_drawn_by_the_seed(tiny: Backbone) -> None:
    one, same, other = (pack(DOCUMENTS, tiny.tokenizer, 64, seed).rows for seed in (1, 1, 2))
    assert one == same != other


def test_what_is_saved_comes_back_and_half_a_file_does_not(tiny: Backbone, tmp_path: Path) -> None:
    packed = pack(DOCUMENTS, tiny.tokenizer, 128, seed=0)
    path = tmp_path / "pass-0.safetensors"
    packed.save(path)
    again = load_packed(path)
    assert again is not None
    ours, theirs = packed.batch([0, 1], 1), again.batch([0, 1], 1)
    assert all(torch.equal(getattr(ours, n), getattr(theirs, n)) for n in ("ids", "labels", "positions", "documents"))
    path.write_bytes(path.read_bytes()[:-100])
    assert load_packed(path) is None


def test_nothing_to_learn_is_refused(tiny: Backbone) -> None:
    with pytest.raises(DataError, match="anything to learn"):
        pack([Document("a", ("Only facts.",), ("Hm.",), ())], tiny.tokenizer, 64, seed=0)


def test_dropout_changes_training_and_nothing_else() -> None:
    decoder: Architecture = make_tiny(seed=5).decoder
    tokenizer = make_tiny().tokenizer
    batch = pack(DOCUMENTS, tokenizer, 128, seed=0).batch([0, 1], tokenizer.separator)
    plain, dropping = PackedDecoder(decoder, 0.0), PackedDecoder(decoder, 0.3)
    with torch.inference_mode():
        torch.manual_seed(0)
        assert float(dropping.train()(batch)) != pytest.approx(float(plain(batch)), rel=1e-3)
        assert float(dropping.eval()(batch)) == pytest.approx(float(plain(batch)), rel=1e-5)
