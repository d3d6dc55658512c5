"""Documents to rows of one length: many documents a row, and which document, position and label each token has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor, nn

from adapterbot.errors import DataError
from adapterbot.home import written_by_rename
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

    def save(self, path: Path) -> None:
        """Write to one file, by rename."""
        flat = np.array([d for row in self.rows for d in row], np.int64)
        sizes = np.array([len(row) for row in self.rows], np.int64)
        tensors = {"ids": self.ids, "learn": self.learn, "ends": self.ends, "documents": flat, "sizes": sizes}
        with written_by_rename(path) as temporary:
            save_file(tensors, temporary, {"length": str(self.length)})


def load_packed(path: Path) -> Packed | None:
    """What `save` wrote, or None where nothing whole is there."""
    try:
        with safe_open(path, framework="np") as file:
            length = int((file.metadata() or {})["length"])
            part = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    cuts = np.cumsum(part["sizes"])[:-1]
    rows = [r.tolist() for r in np.split(part["documents"], cuts)]
    return Packed(part["ids"], part["learn"], part["ends"], rows, length)


def pack(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    length: int,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Packed:
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
        advance(1)
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

    def __init__(self, decoder: Architecture, dropout: float) -> None:
        super().__init__()
        self.decoder = decoder
        self.dropout = dropout
        self._hidden: Callable[..., Tensor] = self.hidden
        self._loss: Callable[..., Tensor] = self.loss

    def compile(self) -> None:
        """Fuse the forward pass by torch's compiler (a half faster on a processor)."""
        self._hidden = torch.compile(self.hidden)
        self._loss = torch.compile(self.loss, dynamic=True)  # the number of labels differs from batch to batch

    def forward(self, batch: Batch) -> Tensor:
        """Mean cross-entropy in nats over the labels that are not IGNORE."""
        wanted = batch.labels != IGNORE
        hidden = self._hidden(batch.ids, batch.positions, batch.documents)  # [B, T, d]
        return self._loss(hidden[wanted], batch.labels[wanted])

    def loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """hidden [N, d], labels [N] -> mean cross-entropy."""
        return F.cross_entropy(self.decoder.logits(hidden).float(), labels)

    def hidden(self, ids: Tensor, positions: Tensor, documents: Tensor) -> Tensor:
        """ids, positions, documents [B, T] -> final hidden states [B, T, d]."""
        length = ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        mask = ((documents[:, :, None] == documents[:, None, :]) & causal)[:, None]  # [B, 1, T, T]
        layout = Layout(positions, mask)
        layers = self.decoder.shape.layers
        x = self._drop(self.decoder.embed(ids, layout))
        if not self.dropout:
            return self.decoder.norm(self.decoder.blocks(x, range(layers), layout))
        for layer in range(layers):
            x = x + self._drop(self.decoder.blocks(x, range(layer, layer + 1), layout) - x)
        return self.decoder.norm(x)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x
