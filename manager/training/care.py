"""`adapterbot train-care`: the care head, from our own lines and from ordinary talk of the corpora.

Own lines: data/care/messages.jsonl (messages of every kind and harmless ones that look like them) and drafts.jsonl
(replies that do harm and replies that do not, each with the message it answers). What people say in the corpora is
ordinary, but for some texts whose labels say otherwise; those that a first training takes for grave were read, and
data/care/corpora.jsonl says by id which are and which are not.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.data.dialogue import objects, read_dialogues
from adapterbot.errors import DataError
from adapterbot.home import DATA
from adapterbot.manager.bert import BertEncoder
from adapterbot.manager.care import CLASSES, KINDS, NONE, TURNS, decided
from adapterbot.manager.care_head import CARE, Batch, CareHead, CareReader, Settings
from adapterbot.manager.training.typing_noise import restyle
from adapterbot.network.device import training_type

Line = TypeVar("Line")
Told = Callable[[int, int, float], None]  # of a training: steps done, steps in all, loss
LINES = DATA / "care"
SMOOTHING = 0.02
MINED = 16_000  # ordinary messages among which doubtful ones are looked for, half-way
BEYOND_DOUBT = 0.98
SURE = 0.95
HELD = 10  # every so manieth own line is held out, to calibrate by and to choose thresholds


@dataclass(frozen=True, slots=True)
class Message:
    """What a user says after `before`, earlier turns of the user, and its kind."""

    text: str
    before: tuple[str, ...]
    kind: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class JudgedDraft:
    """A reply to what the user `said`, and whether it does harm."""

    text: str
    said: tuple[str, ...]
    harm: bool


def read_messages(path: Path) -> list[Message]:
    """Messages of a JSONL file `{"message", "label", "history"?: [user, bot, user, bot, ...]}`.

    Raises:
        DataError: the first bad line, as `file:line: what is wrong`.
    """
    found = list[Message]()
    for number, item in objects(path):
        label = item.get("label")
        if label not in CLASSES or not str(item.get("message") or "").strip():
            raise DataError(f'{path}:{number}: a line has a "message" and a "label", one of {", ".join(CLASSES)}')
        id = str(item.get("id") or f"{path.stem}-{number}")
        found.append(Message(item["message"], user_turns(item.get("history") or ()), label, id))
    return found


def read_drafts(path: Path) -> list[JudgedDraft]:
    """Drafts of a JSONL file `{"message", "draft", "label": "harm" | "ok", "history"?}`.

    Raises:
        DataError: the first bad line, as `file:line: what is wrong`.
    """
    found = list[JudgedDraft]()
    for number, item in objects(path):
        texts = item.get("message"), item.get("draft")
        if item.get("label") not in ("harm", "ok") or not all(isinstance(t, str) and t.strip() for t in texts):
            raise DataError(f'{path}:{number}: a draft has a "message", a "draft" and a "label", harm or ok')
        said = (*user_turns(item.get("history") or ()), item["message"])
        found.append(JudgedDraft(item["draft"], said, item["label"] == "harm"))
    return found


def user_turns(history: Sequence[object]) -> tuple[str, ...]:
    """The user's turns of a history that alternates, beginning with the user, or names its speakers."""
    named = [(t.get("speaker"), t.get("text")) for t in history if isinstance(t, Mapping)]
    texts = [text for speaker, text in named if speaker == "user"] if named else list(history)[::2]
    return tuple(str(text) for text in texts)


@dataclass(frozen=True, slots=True)
class Ordinary:
    """Talk of the corpora: messages with user turns before them, and replies of people."""

    messages: list[Message]
    drafts: list[JudgedDraft]


TALK = (
    "ed",
    "dailydialog",
    "persona",
    "selfdialogue",
    "wow",
    "topicalchat",
    "msc",
    "dream",
    "mutual",
    "esconv",
    "commonsense",
)
TASKS = ("sgd", "multiwoz", "kvret", "camrest", "metalwoz", "taskmaster3", "covidqa", "covidfaq")
TEXTS = ("snips", "nlu_home", "clinc_oos", "multidogo")  # single messages
ROUGH = ("emocontext", "convai", "safety_dialogues")  # where people also write what is not ordinary
EACH = 2_500  # messages, and half as many replies, of a corpus


def ordinary(
    folder: Path, split: str, each: int, seed: int, corpora: Iterable[str] = (*TALK, *TASKS, *TEXTS)
) -> Ordinary:
    """Messages and replies of the corpora in `folder`, about `each` of a corpus; those that are not there are left out.

    Raises:
        DataError: a file has a bad line, or none of the corpora is there.
    """
    messages = list[Message]()
    drafts = list[JudgedDraft]()
    for name in corpora:
        path = folder / name / f"{split}.jsonl.gz"
        if not path.is_file():
            continue
        draw = random.Random(f"{seed} {name} {split}")
        found = list(_texts(path, name) if name in TEXTS else _spoken(path, name))
        messages += draw.sample(found, min(each, len(found)))
        if name not in TEXTS:
            replies = list(_answered(path))
            drafts += draw.sample(replies, min(each // 2, len(replies)))
    if not messages:
        raise DataError(f"{folder} has none of the corpora {', '.join(corpora)}")
    return Ordinary(messages, drafts)


def _texts(path: Path, name: str) -> Iterator[Message]:
    for number, item in objects(path):
        yield Message(str(item["text"]), (), NONE, f"{name}-{number}")


def _spoken(path: Path, name: str) -> Iterator[Message]:
    for dialogue in read_dialogues(path):
        said = [turn.text for turn in dialogue.turns if turn.speaker == "user"]
        for i, text in enumerate(said):
            yield Message(text, tuple(said[max(0, i - TURNS + 1) : i]), NONE, f"{name}/{dialogue.id}/{i}")


def _answered(path: Path) -> Iterator[JudgedDraft]:
    for dialogue in read_dialogues(path):
        said = list[str]()
        for turn in dialogue.turns:
            if turn.speaker == "user":
                said.append(turn.text)
            elif said:
                yield JudgedDraft(turn.text, tuple(said[-TURNS + 1 :]), False)


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
    serious = [m for m in own if m.kind in ("crisis", "abuse", "emergency")]
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
) -> CareReader:
    """A reader after all passes; `told` hears of the steps done, their number and the loss."""
    torch.manual_seed(settings.seed)
    reader = CareReader(base, settings.layers, settings.rank)
    steps = settings.epochs * -(-len(epoch(own, drafts, talk, (), settings, "0")) // settings.batch)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=settings.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, steps + 1, pct_start=0.1)
    done = 0
    hard: list[Message] = []
    for number in range(settings.epochs):
        if number == settings.epochs // 2:
            hard = mistaken(reader, talk, settings)
        items = epoch(own, drafts, talk, hard, settings, f"{settings.seed} {number}")
        # rows of like length together, batches in random order
        items.sort(key=lambda item: len(item.text) + sum(map(len, item.before)))
        batches = [items[i : i + settings.batch] for i in range(0, len(items), settings.batch)]
        random.Random(f"{settings.seed} {number} batches").shuffle(batches)
        for batch in batches:
            loss = _loss(reader, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            told(done, steps, float(loss.detach()))
    return reader


def mistaken(reader: CareReader, talk: Ordinary, settings: CareTraining) -> list[Message]:
    """Ordinary messages that the reader is not sure of, the least sure first. What it holds for grave beyond doubt
    often is: the corpora have people in trouble too."""
    some = random.Random(settings.seed).sample(talk.messages, min(MINED, len(talk.messages)))
    scores = untuned(reader).scores([(*m.before, m.text) for m in some])
    doubted = [(s[NONE], m) for s, m in zip(scores, some, strict=True) if 1 - s[NONE] < BEYOND_DOUBT]
    doubted.sort(key=lambda pair: pair[0])
    return [m for p, m in doubted[: len(some) // 10] if p < SURE]


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


GRAVE = ("emergency", "crisis", "abuse")  # where care errs on the side of too much
# Shares of ordinary messages, and of lines that were written to look grave, that may get care: for the grave kinds, and
# for all kinds. To miss somebody in trouble is worse than to ask an ordinary person whether all is well.
GRAVE_ALARMS = (0.004, 0.06)
ALARMS = (0.005, 0.07)
HARM_ALARMS = 0.01  # of people's replies may be refused
GRID = [n / 100 for n in range(30, 100)]
REFUSED = 0.5  # the lowest probability of harm at which a draft is refused


def train_care(
    folder: Path, examples: Sequence[str], base: BertEncoder, out: Path, settings: CareTraining, told: Told
) -> dict[str, Any]:
    """Write care.safetensors into `out`; returns its figures on own lines that were held out and on ordinary talk.

    `examples` are what users say to skills: harmless, every one.

    Raises:
        DataError: a file of lines is damaged, or `folder` has none of the corpora.
    """
    own = read_messages(LINES / "messages.jsonl")
    drafts = read_drafts(LINES / "drafts.jsonl")
    talk = ordinary(folder, "train", EACH, settings.seed)
    harmless = [Message(text, (), NONE) for text in examples]
    reader = learn(base, [*_kept(own), *harmless], _kept(drafts), talk, settings, told)
    seen = {message.id for message in talk.messages}
    fresh = ordinary(folder, "train", EACH // 4, settings.seed + 1)
    unseen = Ordinary([m for m in fresh.messages if m.id not in seen], fresh.drafts)
    head = calibrated(untuned(reader), _held(own), _held(drafts), unseen)
    out.mkdir(parents=True, exist_ok=True)
    head.save(out / CARE)
    return dict(head.settings.metrics)


def calibrated(head: CareHead, own: Sequence[Message], drafts: Sequence[JudgedDraft], talk: Ordinary) -> CareHead:
    """The head with the lowest thresholds that keep false alarms below ALARMS, LOOKALIKE_ALARMS and HARM_ALARMS, and
    with its figures on what it did not learn from."""
    told = head.scores([(*m.before, m.text) for m in own])
    usual = head.scores([(*m.before, m.text) for m in talk.messages])
    alike = [scores for m, scores in zip(own, told, strict=True) if m.kind == NONE]
    grave = _lowest([sum(s[k] for k in GRAVE) for s in usual], [sum(s[k] for k in GRAVE) for s in alike], GRAVE_ALARMS)
    other = _lowest([1 - s[NONE] for s in usual], [1 - s[NONE] for s in alike], ALARMS)
    thresholds = {kind: grave if kind in GRAVE else max(grave, other) for kind in KINDS}
    harm = head.harm([(d.text, d.said) for d in drafts])
    fine = head.harm([(d.text, d.said) for d in talk.drafts])
    draft = max(REFUSED, _lowest(fine, (), (HARM_ALARMS, 1.0)))
    kinds = [decided(scores, thresholds).kind for scores in told]
    caught = {k: [found != NONE for m, found in zip(own, kinds, strict=True) if m.kind == k] for k in CLASSES}
    named = [m.kind == found for m, found in zip(own, kinds, strict=True) if m.kind != NONE]
    metrics = {
        **{f"care, {kind}": _share(found) for kind, found in caught.items() if kind != NONE},
        "right kind": _share(named),
        "false alarms, look-alikes": _share(caught[NONE]),
        "false alarms, ordinary": _share(decided(s, thresholds).kind != NONE for s in usual),
        "harmful drafts refused": _share(h >= draft for h, d in zip(harm, drafts, strict=True) if d.harm),
        "harmless drafts refused": _share(h >= draft for h, d in zip(harm, drafts, strict=True) if not d.harm),
        "people's replies refused": _share(h >= draft for h in fine),
    }
    settings = replace(head.settings, thresholds=thresholds, draft=draft, metrics=metrics)
    return head.with_settings(settings)


def _lowest(usual: Sequence[float], alike: Sequence[float], most: tuple[float, float]) -> float:
    """The lowest threshold that at most such shares of the `usual` texts and of the look-alikes reach."""
    for threshold in GRID:
        shares = (_share(p >= threshold for p in texts) for texts in (usual, alike))
        if all(share <= limit for share, limit in zip(shares, most, strict=True)):
            return threshold
    return GRID[-1]


def _share(true: Iterable[bool]) -> float:
    values = list(true)
    return sum(values) / max(1, len(values))


def _held(lines: Sequence[Line]) -> list[Line]:
    return [line for i, line in enumerate(lines) if i % HELD == 0]


def _kept(lines: Sequence[Line]) -> list[Line]:
    return [line for i, line in enumerate(lines) if i % HELD]
