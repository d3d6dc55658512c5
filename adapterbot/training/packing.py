"""Documents to rows of one length: many documents a row, and which document, position and label each token has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.errors import DataError
from adapterbot.network.architectures import Architecture
from adapterbot.network.architectures.cache import Layout
from adapterbot.network.tokenizer import IGNORE, Tokenizer
from adapterbot.reply.prompt import encode
from adapterbot.training.documents import Document

SHELF = 4096  # documents that are sorted into rows together


@dataclass(frozen=True, slots=True)
class Batch:
    """B rows of T tokens. A token attends to the earlier ones of its own document, and is told its position there."""

    ids: Tensor  # [B, T]
    labels: Tensor  # [B, T] the next token of the same document where it is learnt, else IGNORE
    positions: Tensor  # [B, T]
    documents: Tensor  # [B, T] number of the document within its row; padding is one of its own

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(t.to(device) for t in (self.ids, self.labels, self.positions, self.documents)))


@dataclass(frozen=True, slots=True)
class Packed:
    """Encoded documents, and for each row which of them it holds."""

    ids: np.ndarray  # [N] all documents' tokens, one after the other
    learn: np.ndarray  # [N] whether to take a loss on predicting this token
    ends: np.ndarray  # [D] where each document ends
    rows: list[list[int]]
    length: int

    @property
    def fill(self) -> float:
        """Tokens per row, on average."""
        return len(self.ids) / len(self.rows)

    @property
    def tokens(self) -> int:
        """Tokens of all documents."""
        return len(self.ids)

    def drawn(self, places: range, seed: int) -> list[int]:
        """The numbers of rows at these places of pass after pass, each pass in an order of its own."""
        count = len(self.rows)
        passes = {place // count for place in places}
        orders = {number: np.random.default_rng([seed, number]).permutation(count) for number in passes}
        return [int(orders[place // count][place % count]) for place in places]

    def batch(self, rows: Sequence[int], fill: int) -> Batch:
        """The rows of these numbers; `fill` pads them at the right."""
        shape = (len(rows), self.length)
        ids = np.full(shape, fill)
        labels = np.full(shape, IGNORE)
        positions = np.zeros(shape, np.int64)
        documents = np.full(shape, -1)
        for i, row in enumerate(rows):
            at = 0
            for number, document in enumerate(self.rows[row]):
                start = self.ends[document - 1] if document else 0
                end = self.ends[document]
                part = slice(at, at + end - start)
                size = end - start
                ids[i, part] = self.ids[start:end]
                documents[i, part] = number
                positions[i, part] = np.arange(size)
                wanted = self.learn[start + 1 : end]
                labels[i, at : at + size - 1] = np.where(wanted, self.ids[start + 1 : end], IGNORE)
                at += size
        return Batch(*(torch.from_numpy(a) for a in (ids, labels, positions, documents)))


def pack(documents: Iterable[Document], tokenizer: Tokenizer, length: int, seed: int) -> Packed:
    """Encode all documents and sort them into rows of `length` tokens, in an order drawn by `seed`.

    Raises:
        DataError: no document has anything to learn.
    """
    ids = []
    learn = []
    ends = []
    total = 0
    for document in documents:
        prompt = encode(tokenizer, document.facts, document.utterances, positions=length, learn=document.learn)
        if not 2 <= len(prompt.ids) <= length or all(label == IGNORE for label in prompt.labels[1:]):
            continue
        total += len(prompt.ids)
        ids.append(np.array(prompt.ids, np.int32))
        learn.append(np.array(prompt.labels) != IGNORE)
        ends.append(total)
    if not ids:
        raise DataError("the corpora hold no document with anything to learn")
    sizes = np.array([len(i) for i in ids])
    rows = list(_rows(sizes, length, np.random.default_rng(seed)))
    return Packed(np.concatenate(ids), np.concatenate(learn), np.array(ends), rows, length)


def _rows(sizes: np.ndarray, length: int, draw: np.random.Generator) -> Iterator[list[int]]:
    """Documents in random order, shelf by shelf: the longest first, each into the fullest row that still has room."""
    order = draw.permutation(len(sizes))
    made: list[list[int]] = []
    for start in range(0, len(order), SHELF):
        shelf = sorted(order[start : start + SHELF], key=lambda d: -sizes[d])
        by_room: list[list[list[int]]] = [[] for _ in range(length + 1)]
        for document in shelf:
            size = int(sizes[document])
            room = next((r for r in range(size, length + 1) if by_room[r]), None)
            row = by_room[room].pop() if room is not None else []
            row.append(int(document))
            by_room[(length if room is None else room) - size].append(row)
        made += [row for group in by_room for row in group if row]
    yield from (made[i] for i in draw.permutation(len(made)))


class PackedDecoder(nn.Module):
    """The decoder on packed rows: no attention and no loss across the borders of documents."""

    def __init__(self, decoder: Architecture) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, batch: Batch) -> Tensor:
        """Mean cross-entropy in nats over the labels that are not IGNORE."""
        length = batch.ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=batch.ids.device).tril()
        mask = ((batch.documents[:, :, None] == batch.documents[:, None, :]) & causal)[:, None]  # [B, 1, T, T]
        layout = Layout(batch.positions, mask)
        x = self.decoder.blocks(self.decoder.embed(batch.ids, layout), range(self.decoder.shape.layers), layout)
        wanted = batch.labels != IGNORE
        return F.cross_entropy(self.decoder.logits(self.decoder.norm(x[wanted])).float(), batch.labels[wanted])
