"""2 · What a user means by the values in a message: wanted, not wanted, not needed, or only spoken of.

Dialogue state tracking over given values, as in the schema-guided baseline (Rastogi et al. 2020, arXiv 1909.05855,
section 6.1), in one pass: MiniLM with a low-rank update reads the user's message, what the bot said before it and the
names of the columns. Each value that stands there is judged for its column by the states of both, and each column by
its own: is it asked for, or all the same to the user? Columns are known by their names alone: any table will do. It
needs no backbone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adapterbot.data.tracking_lines import MEANINGS, Mark, Reading, TrackingLine
from adapterbot.manager.bert import PADDING, SEGMENTS, BertEncoder
from adapterbot.manager.encoder import WEIGHTS, minilm
from adapterbot.manager.head_file import read_head, save_head
from adapterbot.manager.low_rank import LowRank, merged_to_read

TRACKER = "tracker.safetensors"
METADATA = "tracker_v1"
STANCES = ("nothing", "asked", "any")  # of a user towards a column
ASKED, ANY = 0.5, 0.3  # from these probabilities on; the latter is rare, and chosen on own validation lines
USER, BOT, NAME = 128, 80, 6  # tokens that are read: the user's first, the bot's last, the first of a column's name
MOST_COLUMNS = 40  # that are read, those of the values first
INNER = 192
REMEMBERED = 512  # messages and how they were read


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says beside the weights; the blocks from `first` on are updated."""

    base: str
    first: int
    rank: int
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Batch(NamedTuple):
    """N messages, S values and K columns of all of them."""

    ids: Tensor  # [N, T], PADDING where there is none
    other: Tensor  # [N, T] bool: what the user has not said
    values: Tensor  # [S, T] bool: the tokens of a value
    value_rows: Tensor  # [S] of which message
    value_columns: Tensor  # [S] which of the K columns
    columns: Tensor  # [K, T] bool: the tokens of a column's name
    column_rows: Tensor  # [K]


def words_of(column: str) -> str:
    """A column's name in words: "priceRange" and "price_range" are "price range"."""
    return " ".join(re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])|\d+", column)).lower() or column.lower()


class TrackerReader(nn.Module):
    """A batch -> logits; the encoder is frozen but for its update."""

    def __init__(self, base: BertEncoder, first: int, rank: int) -> None:
        super().__init__()
        self.base, self.first, self.rank = base, first, rank
        blocks = tuple(f"encoder.layer.{i}." for i in range(first, base.shape.layers))
        self.update = LowRank({n: w for n, w in base.weights.items() if n.startswith(blocks)}, rank)
        self.value = nn.Linear(2 * base.width, INNER)
        self.value_column = nn.Linear(base.width, INNER)
        self.meaning = nn.Linear(3 * INNER, len(MEANINGS))
        self.look = nn.Linear(base.width, base.width)
        self.seen = nn.Linear(2 * base.width, INNER)
        self.column = nn.Linear(base.width, INNER)
        self.stance = nn.Linear(3 * INNER, len(STANCES))

    def forward(self, batch: Batch, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """By merged `weights` -> logits of the meanings [S, len(MEANINGS)] and of the stances [K, len(STANCES)]."""
        mask = batch.ids != PADDING
        x = self.base.embedded(batch.ids.clamp(min=0), weights, weights[SEGMENTS][batch.other.long()])
        x = self.base.blocks(x, mask, weights, self.base.shape.layers).float()  # [N, T, C]
        columns = _mean(x, batch.column_rows, batch.columns)  # [K, C]
        value = self.value(torch.cat([_mean(x, batch.value_rows, batch.values), x[batch.value_rows, 0]], -1))
        meanings: Tensor = self.meaning(_joined(value, self.value_column(columns[batch.value_columns])))
        rows = x[batch.column_rows]  # [K, T, C]
        scores = (rows @ self.look(columns).unsqueeze(-1)).squeeze(-1) * x.shape[-1] ** -0.5  # [K, T]
        said = mask[batch.column_rows] & ~batch.other[batch.column_rows]
        share = scores.masked_fill(~said, -torch.inf).softmax(-1)
        seen = self.seen(torch.cat([(share.unsqueeze(1) @ rows).squeeze(1), rows[:, 0]], -1))
        stances: Tensor = self.stance(_joined(seen, self.column(columns)))
        return meanings, stances


def _mean(x: Tensor, rows: Tensor, inside: Tensor) -> Tensor:
    """The mean of some tokens of some rows of x [N, T, C]: [len(rows), C]; zero where there are none."""
    kept = inside.unsqueeze(-1).float()
    return (x[rows] * kept).sum(1) / kept.sum(1).clamp(min=1)


def _joined(a: Tensor, b: Tensor) -> Tensor:
    """Two vectors and how they go together [..., 3 INNER]."""
    return torch.cat([nn.functional.gelu(a), nn.functional.gelu(b), a * b], -1)


def batch_of(base: BertEncoder, lines: Sequence[TrackingLine]) -> Batch:
    """What the reader reads of some lines, each with its columns as `columns_of` has them.

    A value beyond what is read has no tokens.
    """
    start, end = base.ids("")
    ids, own = list[list[int]](), list[int]()
    values, columns = list[tuple[int, int, list[int]]](), list[tuple[int, list[int]]]()
    for row, line in enumerate(lines):
        user, bot = base.pieces(line.user)[:USER], base.pieces(line.bot)[-BOT:]
        told = [start, *(i for i, _, _ in user), end, *(i for i, _, _ in bot), *([end] if bot else [])]
        places = dict[str, int]()
        for name in columns_of(line):
            pieces = [i for i, _, _ in base.pieces(words_of(name))[:NAME]]
            places[name] = len(columns)
            columns.append((row, list(range(len(told), len(told) + len(pieces)))))
            told += [*pieces, end]
        for mark in line.marks:
            said, first = (user, 1) if mark.speaker == "user" else (bot, len(user) + 2)
            inside = [first + n for n, (_, a, b) in enumerate(said) if a < mark.end and b > mark.start]
            values.append((row, places.get(mark.column, 0), inside))
        ids.append(told)
        own.append(len(user) + 2)
    length = max(map(len, ids))
    return Batch(
        torch.tensor([told + [PADDING] * (length - len(told)) for told in ids]),
        torch.arange(length) >= torch.tensor(own)[:, None],
        _inside([tokens for _, _, tokens in values], length),
        torch.tensor([row for row, _, _ in values], dtype=torch.long),
        torch.tensor([column for _, column, _ in values], dtype=torch.long),
        _inside([tokens for _, tokens in columns], length),
        torch.tensor([row for row, _ in columns], dtype=torch.long),
    )


def columns_of(line: TrackingLine) -> tuple[str, ...]:
    """The columns of a line that are read."""
    valued = dict.fromkeys(mark.column for mark in line.marks)
    chosen = set([*valued, *(name for name in line.columns if name not in valued)][:MOST_COLUMNS])
    return tuple(name for name in line.columns if name in chosen)


def _inside(tokens: Sequence[Sequence[int]], length: int) -> Tensor:
    """[len(tokens), length], True at the tokens of each."""
    found = torch.zeros(len(tokens), length, dtype=torch.bool)
    for i, places in enumerate(tokens):
        found[i, list(places)] = True
    return found


class Tracker:
    """A trained reader. Safe to call from several threads."""

    def __init__(self, reader: TrackerReader, settings: Settings) -> None:
        self.settings = settings
        self._reader = reader.eval().requires_grad_(False)
        self._weights = merged_to_read(reader.update, reader.base.weights)
        self._read = functools.lru_cache(REMEMBERED)(self._read_anew)  # earlier messages are read at every turn

    def reader(self) -> TrackerReader:
        """A copy of the reader, to train on."""
        reader = TrackerReader(self._reader.base, self.settings.first, self.settings.rank)
        reader.load_state_dict(self._reader.state_dict())
        return reader

    def read(self, bot: str, user: str, marks: Sequence[Mark], columns: Sequence[str]) -> Reading:
        """How `user` is meant, said after `bot` ("" at the beginning), of the values `marks` and the columns."""
        return self._read(TrackingLine(bot, user, tuple(marks), tuple(columns)))

    def _read_anew(self, line: TrackingLine) -> Reading:
        return self.readings([line])[0]

    @torch.inference_mode()
    def readings(self, lines: Sequence[TrackingLine]) -> list[Reading]:
        """How each line is meant; what its marks say is not looked at."""
        batch = batch_of(self._reader.base, lines)
        meanings, stances = self._reader(batch, self._weights)
        likely = [MEANINGS[i] for i in meanings.argmax(-1).tolist()]
        shares = stances.softmax(-1).tolist()
        found = ["asked" if asked >= ASKED else "any" if free >= ANY else "nothing" for _, asked, free in shares]
        readings = list[Reading]()
        for line in lines:
            own, likely = likely[: len(line.marks)], likely[len(line.marks) :]
            columns = columns_of(line)
            stance, found = dict(zip(columns, found, strict=False)), found[len(columns) :]
            asked, free = (frozenset(n for n, s in stance.items() if s == told) for told in ("asked", "any"))
            readings.append(Reading(tuple(own), asked, free))
        return readings

    def save(self, path: Path) -> None:
        """Write the update, the heads and the settings by rename."""
        save_head(path, self._reader.state_dict(), METADATA, asdict(self.settings))


def load_tracker(path: Path, base: BertEncoder) -> Tracker:
    """The tracker in a file, over the encoder that it was trained on.

    Raises:
        WeightsError: the file is damaged, or of another encoder.
    """
    with read_head(path, METADATA, "state tracker", base.fingerprint) as (raw, tensors):
        settings = Settings(**raw)
        reader = TrackerReader(base, settings.first, settings.rank)
        reader.load_state_dict(tensors)
    return Tracker(reader, settings)


@functools.cache
def shipped_tracker() -> Tracker:
    """The tracker that ships, read once; see `load_tracker`."""
    return load_tracker(WEIGHTS / TRACKER, minilm())
