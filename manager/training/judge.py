"""`adapterbot train-judge`: the entailment judge, from labelled pairs and from more by rule (see `pair_forms`)."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapterbot.manager.bert import BertEncoder
from adapterbot.manager.judge import (
    CONTRADICTS,
    ENTAILS,
    JUDGE,
    LABELS,
    SELF,
    ClaimBatch,
    Judge,
    Judgement,
    JudgeReader,
    JudgeSettings,
)
from adapterbot.manager.training.entailment import entailment_figures
from adapterbot.manager.training.fitting import Told, fit, in_batches
from adapterbot.manager.training.judge_card import write_card
from adapterbot.manager.training.pair_forms import varied
from adapterbot.manager.training.pairs import Pair, read_pairs
from adapterbot.manager.training.self_told import self_told
from adapterbot.network.device import training_type

LONGEST = 42  # words of a premise that is learnt from: longer ones take the time of several
CUT = 60  # tokens of a premise in training
# Not learnt from: statements on another topic are called contradicted there, or labels that say too little.
LEFT_OUT = ("dialogue_inference", "citod")
# People's talk, and claims with their evidence, which is what is judged: three times as many of them in a pass.
OFTEN = ("dnli", "sick", "negation_nli", "fever_dev", "healthver", "covidfact", "scifact")
SMOOTHING = 0.05  # the sets have wrong labels
PRECISION = 0.9  # of what is said to be entailed or contradicted, on validation pairs; see `calibrated`
SELF_ALARMS = 0.05  # of pairs of persona lines that go together may be taken for a contradiction
PERSONAS = "dnli"  # the set of such pairs
EACH = 200  # validation pairs of a set by which the judge is calibrated
GRID = [n / 200 for n in range(60, 200)]


@dataclass(frozen=True, slots=True)
class JudgeTraining:
    """How the judge is trained: `epochs` passes over at most `most` pairs of each set, drawn anew for each pass.

    To each pair come `forms` more by rule, and `told` pairs of what people say of themselves.
    """

    epochs: int = 1
    most: int = 1_500
    forms: float = 0.25
    told: float = 0.08
    seed: int = 0
    rate: float = 2e-3
    first: int = 2
    rank: int = 48
    batch: int = 64


def epoch(pairs: Mapping[str, Sequence[Pair]], settings: JudgeTraining, number: int) -> list[Pair]:
    """The pairs of one pass."""
    draw = random.Random(f"{settings.seed} {number}")
    found = list[Pair]()
    for name, own in pairs.items():
        some = draw.sample(own, min(len(own), settings.most * (3 if name in OFTEN else 1)))
        more = (varied(draw.choice(own), own, draw) for _ in range(int(settings.forms * len(some))))
        found += [*some, *filter(None, more)]
    return found + [self_told(draw) for _ in range(int(settings.told * len(found)))]


def learn(
    base: BertEncoder,
    pairs: Mapping[str, Sequence[Pair]],
    settings: JudgeTraining,
    told: Told = lambda done, total, loss: None,
) -> JudgeReader:
    """A reader after all passes over `pairs` (see `learnable`); `told` hears of the steps done, their number
    and the loss."""
    torch.manual_seed(settings.seed)
    reader = JudgeReader(base, min(settings.first, base.shape.layers - 1), settings.rank)
    passes = [epoch(pairs, settings, number) for number in range(settings.epochs)]

    def batches() -> Iterator[list[Pair]]:
        for number, rows in enumerate(passes):
            yield from in_batches(rows, _length, settings.batch, f"{settings.seed} {number}")

    steps = sum(-(-len(rows) // settings.batch) for rows in passes)
    fit(reader, batches(), lambda rows: _loss(reader, rows), steps=steps, rate=settings.rate, told=told)
    return reader


def learnable(pairs: Mapping[str, Sequence[Pair]]) -> dict[str, list[Pair]]:
    """Of each set that is not LEFT_OUT the pairs with a premise that is short enough."""
    short = {name: [pair for pair in own if len(pair.premise.split()) <= LONGEST] for name, own in pairs.items()}
    return {name: own for name, own in short.items() if own and name not in LEFT_OUT}


def _length(pair: Pair) -> int:
    return len(pair.premise) + len(pair.statement)


def _loss(reader: JudgeReader, pairs: Sequence[Pair]) -> Tensor:
    """Minus the log-probability that one of the labels holds that may."""
    batch = ClaimBatch.of(reader.base, [(pair.premise, pair.statement) for pair in pairs], CUT)
    weights = {name: w.to(training_type()) for name, w in reader.update.merged(reader.base.weights).items()}
    logs = torch.log_softmax(reader(batch, weights), -1)  # [N, 3]
    allowed = torch.tensor([[label in pair.labels for label in LABELS] for pair in pairs])
    right = logs.masked_fill(~allowed, -torch.inf).logsumexp(-1)
    return -((1 - SMOOTHING) * right + SMOOTHING * logs.mean(-1)).mean()


def untuned(reader: JudgeReader) -> Judge:
    """A judge by the reader as it is now, whose thresholds mean nothing yet."""
    settings = JudgeSettings(
        reader.base.fingerprint, reader.first, reader.rank, dict.fromkeys((ENTAILS, CONTRADICTS, SELF), 0.5)
    )
    return Judge(copy.deepcopy(reader), settings)


def train_judge(folder: Path, base: BertEncoder, out: Path, settings: JudgeTraining, told: Told) -> dict[str, Any]:
    """Write judge.safetensors and its card into `out`; returns its figures on the validation pairs in `folder`.

    Raises:
        DataError: `folder` has no pairs to learn from or to validate by, or one of its lines is damaged.
    """
    pairs, valid = learnable(read_pairs(folder, "train")), read_pairs(folder, "valid")
    judge = calibrated(untuned(learn(base, pairs, settings, told)), valid)
    out.mkdir(parents=True, exist_ok=True)
    judge.save(out / JUDGE)
    write_card(judge, {name: len(own) for name, own in pairs.items()}, out)
    return dict(judge.settings.metrics)


def calibrated(judge: Judge, valid: Mapping[str, Sequence[Pair]]) -> Judge:
    """The judge with the temperature of the highest likelihood, and for each of its two words the lowest threshold at
    which PRECISION of what gets it is right, both on EACH pairs of each set; and with its figures on all."""
    some = [pair for own in valid.values() for pair in random.Random(0).sample(own, min(len(own), EACH))]
    claims = [(pair.premise, pair.statement) for pair in some]
    logits = torch.tensor(judge.judge(claims)).clamp(min=1e-9).log()
    allowed = torch.tensor([[label in pair.labels for label in LABELS] for pair in some])

    def likelihood(temperature: float) -> float:
        logs = torch.log_softmax(logits / temperature, -1)
        return float(logs.masked_fill(~allowed, -torch.inf).logsumexp(-1).mean())

    temperature = max((n / 20 for n in range(10, 61)), key=likelihood)
    judged = [Judgement(*row) for row in torch.softmax(logits / temperature, -1).tolist()]
    thresholds = {word: _lowest(judged, some, word) for word in (ENTAILS, CONTRADICTS)}
    thresholds[SELF] = thresholds[CONTRADICTS]
    judge = judge.with_settings(replace(judge.settings, temperature=temperature, thresholds=thresholds))
    if own := valid.get(PERSONAS):
        thresholds = {**thresholds, SELF: self_threshold(judge, own)}
        judge = judge.with_settings(replace(judge.settings, thresholds=thresholds))
    return judge.with_settings(replace(judge.settings, metrics=entailment_figures(judge, valid)))


def self_threshold(judge: Judge, pairs: Sequence[Pair]) -> float:
    """The lowest threshold at which at most SELF_ALARMS of the pairs that do not contradict each other seem to."""
    fine = [(pair.premise, pair.statement) for pair in pairs if CONTRADICTS not in pair.labels]
    against = [one.contradicts for one in judge.judge(fine)]
    few = (t for t in GRID if sum(p >= t for p in against) <= SELF_ALARMS * len(against))
    return next(few, GRID[-1])


def _lowest(judged: Sequence[Judgement], pairs: Sequence[Pair], word: str) -> float:
    at = LABELS.index(word)
    for threshold in GRID:
        right = [word in pair.labels for one, pair in zip(judged, pairs, strict=True) if one[at] >= threshold]
        if right and sum(right) / len(right) >= PRECISION:
            return threshold
    return GRID[-1]
