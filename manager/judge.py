"""6 · Does a premise entail a statement, contradict it, or neither?

A cross-encoder (Devlin et al. 2019, arXiv 1810.04805, section 4.1): MiniLM with a low-rank update reads statement and
premise side by side, and a linear head tells the three apart. It needs no backbone.
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
from adapterbot.manager.encoder import WEIGHTS, minilm
from adapterbot.manager.head_file import read_head, save_head
from adapterbot.manager.low_rank import LowRank, merged_to_read

JUDGE = "judge.safetensors"
METADATA = "judge_v1"
ENTAILS = "entails"
CONTRADICTS = "contradicts"
NEITHER = "neither"
SELF = "contradicts oneself"
LABELS = (ENTAILS, CONTRADICTS, NEITHER)
PREMISE = 160  # tokens of a premise that are read, the first ones
STATEMENT = 64
BATCH = 32
Claim = tuple[str, str]  # premise, statement


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """What the file says beside the weights.

    `thresholds`: how probable it has to be that a statement is entailed or contradicted for the judge to say so, and
    (SELF) that somebody contradicts what they said of themselves: there a false alarm costs no more than a draft.
    `temperature` calibrates the probabilities (Guo et al. 2017, arXiv 1706.04599).
    """

    base: str
    first: int
    rank: int
    thresholds: Mapping[str, float]
    temperature: float = 1.0
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Judgement(NamedTuple):
    """How probable each of the three is; they sum to one."""

    entails: float
    contradicts: float
    neither: float


class ClaimBatch(NamedTuple):
    """What a `JudgeReader` reads: statement, then premise, each closed by its mark."""

    ids: Tensor  # [N, T], PADDING where there is none
    stated: Tensor  # [N, T] bool: the statement, not the premise

    @classmethod
    def of(cls, base: BertEncoder, claims: Sequence[Claim], premise: int = PREMISE) -> ClaimBatch:
        """At most `premise` tokens of each premise."""
        rows = list[tuple[list[int], int]]()  # ids, how many of them are the statement's
        for given, statement in claims:
            start, *own, end = base.ids(statement)
            stated = [start, *own[:STATEMENT], end]
            rows.append(([*stated, *base.ids(given)[1:-1][:premise], end], len(stated)))
        length = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([ids + [PADDING] * (length - len(ids)) for ids, _ in rows])
        return cls(ids, torch.arange(length) < torch.tensor([count for _, count in rows])[:, None])


class JudgeReader(nn.Module):
    """Ids of statement and premise -> logits; the encoder is frozen but for its update."""

    def __init__(self, base: BertEncoder, first: int, rank: int) -> None:
        """The blocks from the one of number `first` on are updated."""
        super().__init__()
        self.base = base
        self.first = first
        self.rank = rank
        updated = tuple(f"encoder.layer.{i}." for i in range(first, base.shape.layers))
        self.update = LowRank({n: w for n, w in base.weights.items() if n.startswith(updated)}, rank)
        self.label = nn.Linear(4 * base.width, len(LABELS))

    def forward(self, batch: ClaimBatch, weights: Mapping[str, Tensor]) -> Tensor:
        """N rows, by merged `weights` -> logits [N, 3] in the order of LABELS."""
        ids, stated = batch
        real = ids != PADDING
        x = self.base.embedded(ids.clamp(min=0), weights, weights[SEGMENTS][(~stated).long()])
        x = self.base.blocks(x, real, weights, self.base.shape.layers)
        of_statement, of_premise = (_mean(x, part) for part in (stated, real & ~stated))
        pooled = torch.cat([x[:, 0], of_statement, of_premise, (of_statement - of_premise).abs()], -1)  # [N, 4C]
        logits: Tensor = self.label(pooled.float())
        return logits


def _mean(x: Tensor, chosen: Tensor) -> Tensor:
    """[N, T, C] -> [N, C]: the mean over the tokens that are chosen, [N, T]."""
    weight = chosen.unsqueeze(-1).to(x.dtype)
    return (x * weight).sum(1) / weight.sum(1).clamp(min=1)


class Judge:
    """A trained reader and its settings. Safe to call from several threads."""

    def __init__(self, reader: JudgeReader, settings: JudgeSettings) -> None:
        self.settings = settings
        self._reader = reader.eval().requires_grad_(False)
        self._weights = merged_to_read(reader.update, reader.base.weights)

    def with_settings(self, settings: JudgeSettings) -> Judge:
        """The same reader with other settings."""
        return Judge(self._reader, settings)

    @torch.inference_mode()
    def judge(self, claims: Sequence[Claim]) -> list[Judgement]:
        """How probable each of the three is for each (premise, statement), in their order."""
        order = sorted(range(len(claims)), key=lambda i: sum(map(len, claims[i])))
        found: dict[int, Judgement] = {}
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            batch = ClaimBatch.of(self._reader.base, [claims[i] for i in some])
            likely = torch.softmax(self._reader(batch, self._weights) / self.settings.temperature, -1)
            found |= {i: Judgement(*row) for i, row in zip(some, likely.tolist(), strict=True)}
        return [found[i] for i in range(len(claims))]

    def label(self, judgement: Judgement) -> str:
        """What the judge says of it: `neither` where it is not sure of one of the others."""
        likeliest = ENTAILS if judgement.entails >= judgement.contradicts else CONTRADICTS
        sure = max(judgement.entails, judgement.contradicts) >= self.settings.thresholds[likeliest]
        return likeliest if sure else NEITHER

    def save(self, path: Path) -> None:
        """Write update, head and settings by rename."""
        save_head(path, self._reader.state_dict(), METADATA, asdict(self.settings))


def load_judge(path: Path, base: BertEncoder) -> Judge:
    """The judge in a file, over the encoder that it was trained on.

    Raises:
        WeightsError: the file is damaged, or of another encoder.
    """
    with read_head(path, METADATA, "judge", base.fingerprint) as (raw, tensors):
        settings = JudgeSettings(**raw)
        if missing := {ENTAILS, CONTRADICTS, SELF} ^ set(settings.thresholds):
            raise WeightsError(f"{path} has no threshold for {', '.join(sorted(missing))}")
        reader = JudgeReader(base, settings.first, settings.rank)
        reader.load_state_dict(tensors)
    return Judge(reader, settings)


@functools.cache
def shipped_judge() -> Judge:
    """The judge that ships, read once; see `load_judge`."""
    return load_judge(WEIGHTS / JUDGE, minilm())
