"""2 · Does a message need care before any skill answers it, and would a draft do harm?

One small reader for both: the first blocks of MiniLM with a low-rank update, over what is judged and what the user said
before, and a linear head for each question. It needs no backbone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adapterbot.errors import WeightsError
from adapterbot.manager.bert import PADDING, SEGMENTS, BertEncoder
from adapterbot.manager.care import CLASSES, KINDS, TURNS, Care, decided, staying
from adapterbot.manager.encoder import WEIGHTS, minilm
from adapterbot.manager.head_file import read_head, save_head
from adapterbot.manager.low_rank import LowRank, merged_to_read

CARE = "care.safetensors"
JUDGED = 96  # tokens of what is judged; a longer message is read in windows of so many
STRIDE = 64
WINDOWS = 8
BATCH = 64
REMEMBERED = 256  # messages and what they were taken for
BEFORE = 28  # tokens of each user turn before it, the last ones
METADATA = "care_v1"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says beside the weights.

    `thresholds`: a message is of a kind when the probabilities of that kind and of all graver ones reach its threshold
    together, so that doubt between two grave kinds is no doubt that it is grave. `draft`: from this probability on a
    draft does harm. `temperature` calibrates the classes (Guo et al. 2017, arXiv 1706.04599).
    """

    base: str
    layers: int
    rank: int
    thresholds: Mapping[str, float]
    draft: float
    temperature: float = 1.0
    metrics: Mapping[str, Any] = field(default_factory=dict)


Item = tuple[str, Sequence[str], bool]  # what is judged, the user's turns before it, whether it is a draft


class Batch(NamedTuple):
    """What a `CareReader` reads. A judged text of more than JUDGED tokens makes several rows, one a window."""

    ids: Tensor  # [N, T], PADDING where there is none
    judged: Tensor  # [N, T] bool: what is judged, not what was said before
    drafts: Tensor  # [N] bool
    windows: list[int]  # rows of each item

    @classmethod
    def of(cls, base: BertEncoder, items: Sequence[Item], most: int = WINDOWS) -> Batch:
        """At most `most` windows of each item, its last ones."""
        rows = list[tuple[list[int], int, bool]]()  # ids, how many of them are judged, draft
        windows = list[int]()
        for text, before, is_draft in items:
            start, *own, end = base.ids(text)
            earlier = list[int]()
            for turn in reversed(before):  # the newest first: nearest to what is judged
                earlier += [*base.ids(turn)[1:-1][-BEFORE:], end]
            places = [*range(0, max(1, len(own) - JUDGED + STRIDE), STRIDE)][-most:]
            windows.append(len(places))
            for at in places:
                window = [start, *own[at : at + JUDGED], end]
                rows.append((window + earlier, len(window), is_draft))
        length = max(len(ids) for ids, _, _ in rows)
        ids = torch.tensor([ids + [PADDING] * (length - len(ids)) for ids, _, _ in rows])
        judged = torch.arange(length) < torch.tensor([count for _, count, _ in rows])[:, None]
        return cls(ids, judged, torch.tensor([is_draft for _, _, is_draft in rows]), windows)


class CareReader(nn.Module):
    """Ids of what is judged and of what was said before -> logits; the encoder is frozen but for its update."""

    def __init__(self, base: BertEncoder, layers: int, rank: int) -> None:
        super().__init__()
        self.base = base
        self.layers = layers
        self.rank = rank
        read = {
            n: w for n, w in base.weights.items() if n.startswith(tuple(f"encoder.layer.{i}." for i in range(layers)))
        }
        self.update = LowRank(read, rank)
        self.drafted = nn.Parameter(torch.zeros(base.width))  # tells a draft from a message
        self.kinds = nn.Linear(2 * base.width, len(CLASSES))
        self.harm = nn.Linear(2 * base.width, 1)

    def forward(self, batch: Batch, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """N rows, by merged `weights` -> logits of the classes [N, len(CLASSES)] and of harm [N]."""
        ids, judged, drafts, _ = batch
        mask = ids != PADDING
        segments = weights[SEGMENTS][(~judged).long()]  # [N, T, C]
        segments = segments + (judged & drafts[:, None]).unsqueeze(-1) * self.drafted.to(segments.dtype)
        x = self.base.blocks(self.base.embedded(ids.clamp(min=0), weights, segments), mask, weights, self.layers)
        real = judged.unsqueeze(-1).to(x.dtype)
        mean = (x * real).sum(1) / real.sum(1).clamp(min=1)
        pooled = torch.cat([x[:, 0], mean], -1).float()  # [N, 2C]
        return self.kinds(pooled), self.harm(pooled).squeeze(-1)


class CareHead:
    """A trained reader and its settings. Safe to call from several threads."""

    def __init__(self, reader: CareReader, settings: Settings) -> None:
        self.settings = settings
        self._reader = reader.eval().requires_grad_(False)
        self._weights = merged_to_read(reader.update, reader.base.weights)
        self._read = functools.lru_cache(REMEMBERED)(self._read_anew)  # the message before was read a turn ago

    def with_settings(self, settings: Settings) -> CareHead:
        """The same reader with other settings."""
        return CareHead(self._reader, settings)

    def reader(self) -> CareReader:
        """A copy of the reader, to train on."""
        reader = CareReader(self._reader.base, self.settings.layers, self.settings.rank)
        reader.load_state_dict(self._reader.state_dict())
        return reader

    def message(self, said: Sequence[str]) -> Care:
        """What the newest of the user's messages is, `said` being all of them or the last few, oldest first.

        It is read with the two before it. After a message of somebody in danger care stays (see `staying`).
        """
        if not said:
            return Care()
        now = self._read(tuple(said[-TURNS:]))
        return now if now or len(said) == 1 else staying(now, self._read(tuple(said[-TURNS - 1 : -1])))

    def _read_anew(self, said: tuple[str, ...]) -> Care:
        return decided(self.scores([said])[0], self.settings.thresholds)

    def harms(self, draft: str, said: Sequence[str]) -> bool:
        """Whether `draft` must not be sent as an answer to what the user `said`, oldest first."""
        return self.harm([(draft, said)])[0] >= self.settings.draft

    def scores(self, talks: Sequence[Sequence[str]]) -> list[dict[str, float]]:
        """Probabilities of the classes of the newest message of each talk."""
        logits = self._logits([(said[-1], said[-TURNS:-1], False) for said in talks])
        likely = [torch.softmax(kinds / self.settings.temperature, -1) for kinds, _ in logits]
        rows = [windows[windows[:, 0].argmin()].tolist() for windows in likely]  # the gravest part of a long message
        return [dict(zip(CLASSES, row, strict=True)) for row in rows]

    def harm(self, drafts: Sequence[tuple[str, Sequence[str]]]) -> list[float]:
        """How probable it is that each draft does harm as an answer to what the user said."""
        logits = self._logits([(text, said[-TURNS + 1 :], True) for text, said in drafts])
        return [float(torch.sigmoid(harm / self.settings.temperature).max()) for _, harm in logits]

    @torch.inference_mode()
    def _logits(self, items: Sequence[Item]) -> list[tuple[Tensor, Tensor]]:
        """Logits of the classes [W, classes] and of harm [W] of the W windows of each item."""
        order = sorted(range(len(items)), key=lambda i: len(items[i][0]) + sum(map(len, items[i][1])))
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            batch = Batch.of(self._reader.base, [items[i] for i in some])
            kinds, harm = self._reader(batch, self._weights)
            found |= dict(
                zip(some, zip(kinds.split(batch.windows), harm.split(batch.windows), strict=True), strict=True)
            )
        return [found[i] for i in range(len(items))]

    def save(self, path: Path) -> None:
        """Write the update, the heads and the settings by rename."""
        save_head(path, self._reader.state_dict(), METADATA, asdict(self.settings))


def load_care(path: Path, base: BertEncoder) -> CareHead:
    """The care head in a file, over the encoder that it was trained on.

    Raises:
        WeightsError: the file is damaged, or of another encoder.
    """
    with read_head(path, METADATA, "care head", base.fingerprint) as (raw, tensors):
        settings = Settings(**raw)
        if set(settings.thresholds) != set(KINDS):
            raise WeightsError(f"{path} has no threshold for {', '.join(set(KINDS) ^ set(settings.thresholds))}")
        reader = CareReader(base, settings.layers, settings.rank)
        reader.load_state_dict(tensors)
    return CareHead(reader, settings)


@functools.cache
def shipped_head() -> CareHead:
    """The care head that ships, read once; see `load_care`."""
    return load_care(WEIGHTS / CARE, minilm())
