"""Packed rows: nothing crosses the border of a document, and nothing is lost on the way."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from adapterbot.errors import DataError
from adapterbot.network.backbone import Backbone
from adapterbot.network.tokenizer import IGNORE
from adapterbot.reply.prompt import encode
from adapterbot.training.documents import Document
from adapterbot.training.packing import PackedDecoder, pack

SAID = ("How was the trip?", "Long, but the view from the train was wonderful.", "Tell me more!", "We saw two lakes.")
DOCUMENTS = [Document((), SAID[: 1 + i % 4], tuple(range(1 + i % 4))) for i in range(30)] + [
    Document(("The lake is called Como.",), SAID[:2], (1,)) for _ in range(10)
]


def test_packed_rows_give_every_document_the_loss_it_has_alone(tiny: Backbone) -> None:
    packed = pack(DOCUMENTS, tiny.tokenizer, 128, seed=0)
    assert len(packed.rows) < len(DOCUMENTS) / 2
    batch = packed.batch(range(len(packed.rows)), tiny.tokenizer.separator)
    model = PackedDecoder(tiny.decoder)
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


def test_each_pass_draws_every_row_once_in_an_order_of_its_own(tiny: Backbone) -> None:
    packed = pack(DOCUMENTS, tiny.tokenizer, 64, seed=0)
    count = len(packed.rows)
    first, second = packed.drawn(range(count), 7), packed.drawn(range(count, 2 * count), 7)
    assert sorted(first) == sorted(second) == list(range(count))
    assert first != second
    assert packed.drawn(range(count - 2, count + 2), 7) == [*first[-2:], *second[:2]]


def test_nothing_to_learn_is_refused(tiny: Backbone) -> None:
    with pytest.raises(DataError, match="anything to learn"):
        pack([Document(("Only facts.",), ("Hm.",), ())], tiny.tokenizer, 64, seed=0)
