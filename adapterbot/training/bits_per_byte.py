"""How many bits a model needs per byte of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from adapterbot.errors import DataError
from adapterbot.network.backbone import Backbone
from adapterbot.network.likelihood import total_nats
from adapterbot.reply.prompt import encode
from adapterbot.training.documents import Document
from adapterbot.turn import Prompt


def bits_per_byte(backbone: Backbone, documents: Sequence[Document]) -> float:
    """Bits that the model needs per UTF-8 byte of the learnt utterances: comparable over vocabularies.

    A separator counts as one byte, the line break that it stands for. A document's very first token, which nothing
    precedes, counts neither as bits nor as bytes. A document that does not fit is scored in halves.

    Raises:
        DataError: no document fits into the backbone's positions.
    """
    size = 0
    rows = list[Prompt]()
    waiting = list(documents)
    while waiting:
        d = waiting.pop()
        row = encode(backbone.tokenizer, d.facts, d.utterances, positions=backbone.positions, learn=d.learn)
        if row.dropped:
            waiting += d.halves()
        elif len(row.ids) > 1:
            rows.append(row)
            size += sum(len(d.utterances[i].encode("utf-8", "replace")) + 1 for i in d.learn)
            size -= 0 if d.facts or 0 not in d.learn else len(backbone.tokenizer.decode(row.ids[:1]).encode())
    if not rows:
        raise DataError(f"no document fits into {backbone.positions} positions")
    return total_nats(backbone, None, rows)[0] / math.log(2) / size
