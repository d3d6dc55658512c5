"""`adapterbot train-care`: the care head, from our own lines and from ordinary talk of the corpora (see `care_lines`).

Half-way the ordinary messages that it doubts are looked for, and every later pass sees them again.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.manager.bert import BertEncoder
from adapterbot.manager.care import CLASSES, GRAVE, KINDS, NONE, TURNS
from adapterbot.manager.care_head import CARE, Batch, CareHead, CareReader, Settings
from adapterbot.manager.training import care_lines
from adapterbot.manager.training.care_lines import (
    EACH,
    TALK,
    TASKS,
    TEXTS,
    JudgedDraft,
    Message,
    Ordinary,
    ordinary,
    read_drafts,
    read_messages,
)
from adapterbot.manager.training.care_thresholds import calibrated, share
from adapterbot.manager.training.fitting import Told, fit, in_batches
from adapterbot.manager.training.head_card import HeadCard
from adapterbot.manager.training.typing_noise import restyle
from adapterbot.network.device import training_type

Line = TypeVar("Line")
CARD = HeadCard(
    "Care head",
    CARE,
    "train-care --data CORPORA",
    "Tells whether a message needs care before any skill answers it, and of which kind, and whether a draft does harm.",
    "English only. It misses some and is alarmed for nothing by some: `adapterbot evaluate safety` counts both on"
    " messages that it has not seen. What people say in the corpora was taken for harmless, which some of it is not.",
)
OWN = (
    "messages that need care and messages that only look so, and drafts that do harm or none: our own (`data/care`)",
    "what users say in the dialogues that we wrote for the skills, all of it harmless",
)
CORPORA = (*TALK, *TASKS, *TEXTS)
SMOOTHING = 0.02
MINED = 16_000  # ordinary messages among which doubtful ones are looked for, half-way
BEYOND_DOUBT = 0.98
SURE = 0.95
KNOWN = 0.9  # a head that gives so much to what is right has learnt a line
GOING_ON = 4e-4  # the learning rate of a head that goes on
ALARMS_OF_SKILLS = "false alarms, told to skills"
HELD = 10  # every so manieth own line is held out, to calibrate by and to choose thresholds


@dataclass(frozen=True, slots=True)
class CareTraining:
    """How the head is trained: `epochs` passes over our own lines, and with each line `ordinary` texts of others."""

    epochs: int = 5
    seed: int = 0
    rate: float = 1.5e-3
    layers: int = 6
    rank: int = 16
    ordinary: float = 1.0
    batch: int = 64


@dataclass(frozen=True, slots=True)
class Item:
    """One row to learn from; `kind` for a message, `harm` for a draft."""

    text: str
    before: tuple[str, ...]
    kind: int = -1
    harm: float = -1.0


def varied(message: Message, others: Sequence[Message], draw: random.Random) -> Item:
    """A message as somebody else may have typed it: in other casing, in the middle of other talk, or after some."""
    text = restyle(message.text, draw) if draw.random() < 0.7 else message.text
    before = message.before
    if message.kind != NONE and draw.random() < 0.15:  # what matters stands among what does not
        aside = draw.choice(others).text
        text = f"{aside} {text}" if draw.random() < 0.5 else f"{text} {aside}"
    if not before and draw.random() < 0.35:
        before = tuple(m.text for m in draw.sample(others, draw.randint(1, TURNS - 1)))
    return Item(text, before, CLASSES.index(message.kind))


def epoch(
    own: Sequence[Message],
    drafts: Sequence[JudgedDraft],
    talk: Ordinary,
    hard: Sequence[Message],
    settings: CareTraining,
    seed: str,
) -> list[Item]:
    """The rows of one pass, in random order; `hard` are ordinary messages that every pass sees."""
    draw = random.Random(seed)
    items = [varied(message, talk.messages, draw) for message in own]
    serious = [m for m in own if m.kind in GRAVE]
    wanted = max(0, int(settings.ordinary * len(own)) - len(hard))
    for message in [*hard, *draw.sample(talk.messages, min(len(talk.messages), wanted))]:
        item = varied(message, talk.messages, draw)
        if message.id.startswith(TASKS + TEXTS) and len(message.text.split()) > 5 and draw.random() < 0.2:
            item = replace(item, before=(draw.choice(serious).text,))  # the topic has plainly changed
        items.append(item)
    items += [Item(d.text, d.said, harm=float(d.harm)) for d in drafts]
    ok = draw.sample(talk.drafts, min(len(talk.drafts), 2 * len(drafts)))
    items += [Item(d.text, d.said, harm=0.0) for d in ok]
    draw.shuffle(items)
    return items


def learn(
    base: BertEncoder,
    own: Sequence[Message],
    drafts: Sequence[JudgedDraft],
    talk: Ordinary,
    settings: CareTraining,
    told: Told = lambda done, total, loss: None,
    start: CareHead | None = None,
) -> CareReader:
    """A reader after all passes; `told` hears of the steps done, their number and the loss.

    With a head to start from it goes on from that one's reader, on the lines that this one has not learnt and as many
    others. The reader is then the mean of before and after, which forgets less for what it learns (Wortsman et al.
    2022, "Robust fine-tuning of zero-shot models").
    """
    torch.manual_seed(settings.seed)
    reader = CareReader(base, settings.layers, settings.rank) if start is None else start.reader()
    if start is not None:
        own, drafts = not_learnt(start, own, drafts, settings.seed)
    steps = settings.epochs * -(-len(epoch(own, drafts, talk, (), settings, "0")) // settings.batch)

    def batches() -> Iterator[list[Item]]:
        hard: list[Message] = []
        for number in range(settings.epochs):
            if number == settings.epochs // 2:
                hard = mistaken(reader, talk, settings)
            items = epoch(own, drafts, talk, hard, settings, f"{settings.seed} {number}")
            yield from in_batches(items, _length, settings.batch, f"{settings.seed} {number} batches")

    fit(reader, batches(), lambda batch: _loss(reader, batch), steps=steps, rate=settings.rate, told=told)
    return reader if start is None else mean_of(start.reader(), reader)


def mean_of(before: CareReader, after: CareReader) -> CareReader:
    """A reader half-way between two of one form."""
    made, others = copy.deepcopy(before), after.state_dict()
    made.load_state_dict({n: torch.lerp(t, others[n], 0.5) for n, t in before.state_dict().items()})
    return made


def _length(item: Item) -> int:
    return len(item.text) + sum(map(len, item.before))


def mistaken(reader: CareReader, talk: Ordinary, settings: CareTraining) -> list[Message]:
    """Ordinary messages that the reader is not sure of, the least sure first. What it holds for grave beyond doubt
    often is: the corpora have people in trouble too."""
    some = random.Random(settings.seed).sample(talk.messages, min(MINED, len(talk.messages)))
    scores = untuned(reader).scores([(*m.before, m.text) for m in some])
    doubted = [(s[NONE], m) for s, m in zip(scores, some, strict=True) if 1 - s[NONE] < BEYOND_DOUBT]
    doubted.sort(key=lambda pair: pair[0])
    return [m for p, m in doubted[: len(some) // 10] if p < SURE]


def not_learnt(
    head: CareHead, own: Sequence[Message], drafts: Sequence[JudgedDraft], seed: int
) -> tuple[list[Message], list[JudgedDraft]]:
    """The lines of which the head is not sure, and as many others of each, that it does not forget them."""
    told = [scores[m.kind] for m, scores in zip(own, head.scores([(*m.before, m.text) for m in own]), strict=True)]
    harm = head.harm([(d.text, d.said) for d in drafts])
    judged = [h if d.harm else 1 - h for d, h in zip(drafts, harm, strict=True)]
    draw = random.Random(f"{seed} others")
    return _doubted(own, told, draw), _doubted(drafts, judged, draw)


def _doubted(lines: Sequence[Line], right: Sequence[float], draw: random.Random) -> list[Line]:
    """Those lines of which what is `right` has less than KNOWN, and as many others."""
    doubted = [line for line, p in zip(lines, right, strict=True) if p < KNOWN]
    others = [line for line, p in zip(lines, right, strict=True) if p >= KNOWN]
    return doubted + draw.sample(others, min(len(others), len(doubted)))


def untuned(reader: CareReader) -> CareHead:
    """A head on the reader as it is now, whose thresholds mean nothing yet."""
    settings = Settings(reader.base.fingerprint, reader.layers, reader.rank, dict.fromkeys(KINDS, 0.5), 0.5)
    return CareHead(copy.deepcopy(reader), settings)


def _loss(reader: CareReader, batch: Sequence[Item]) -> Tensor:
    read = Batch.of(reader.base, [(item.text, item.before, item.kind < 0) for item in batch], most=1)
    weights = {name: w.to(training_type()) for name, w in reader.update.merged(reader.base.weights).items()}
    kinds, harm = reader(read, weights)
    wanted = torch.tensor([item.kind for item in batch])
    harmful = torch.tensor([item.harm for item in batch])
    is_draft = wanted < 0
    told = F.cross_entropy(kinds, wanted, ignore_index=-1, reduction="sum", label_smoothing=SMOOTHING)
    judged = F.binary_cross_entropy_with_logits(harm[is_draft], harmful[is_draft], reduction="sum")
    return (told + judged) / len(batch)


def train_care(
    folder: Path,
    told_to_skills: Sequence[Message],
    base: BertEncoder,
    out: Path,
    settings: CareTraining,
    told: Told,
    start: CareHead | None = None,
) -> dict[str, Any]:
    """Write care.safetensors into `out`; returns its figures on own lines that were held out and on ordinary talk.

    `told_to_skills`: what users say to skills (see `told_to`). `start`: the head to go on from (see `learn`).

    Raises:
        DataError: a file of lines is damaged, or `folder` has none of the corpora.
    """
    own = read_messages(care_lines.LINES / "messages.jsonl")
    drafts = read_drafts(care_lines.LINES / "drafts.jsonl")
    talk = ordinary(folder, "train", EACH, settings.seed)
    reader = learn(base, [*_kept(own), *_kept(told_to_skills)], _kept(drafts), talk, settings, told, start)
    seen = {message.id for message in talk.messages}
    fresh = ordinary(folder, "train", EACH // 4, settings.seed + 1)
    unseen = Ordinary([m for m in fresh.messages if m.id not in seen], fresh.drafts)
    head = calibrated(untuned(reader), _held(own), _held(drafts), unseen)
    alarms = [bool(head.message((*m.before, m.text))) for m in _held(told_to_skills)]
    metrics = {**head.settings.metrics, ALARMS_OF_SKILLS: share(alarms)}
    head = head.with_settings(replace(head.settings, metrics=metrics))
    out.mkdir(parents=True, exist_ok=True)
    head.save(out / CARE)
    CARD.write(out, metrics, OWN, CORPORA)
    return dict(metrics)


def _held(lines: Sequence[Line]) -> list[Line]:
    return [line for i, line in enumerate(lines) if i % HELD == 0]


def _kept(lines: Sequence[Line]) -> list[Line]:
    return [line for i, line in enumerate(lines) if i % HELD]
