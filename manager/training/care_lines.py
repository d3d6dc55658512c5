"""2 · What the care head learns from: our own lines, and ordinary talk of the corpora.

Own lines: data/care/messages.jsonl (messages of every kind and harmless ones that look like them), drafts.jsonl
(replies that do harm and replies that do not, each with the message it answers) and what users say in the examples of
skills. These were written as the messages of people in danger were, so that a head cannot go by how a line is written.
What people say in the corpora is taken for ordinary, which is not true of every message there.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapterbot.data.dialogue import objects, read_dialogues
from adapterbot.errors import DataError
from adapterbot.home import DATA
from adapterbot.manager.care import CLASSES, NONE, TURNS
from adapterbot.spec.tables import SkillSpec

LINES = DATA / "care"


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


def told_to(spec: SkillSpec) -> list[Message]:
    """What users say to a skill, by its messages and by the dialogues in its examples.jsonl: harmless, every one."""
    found = [Message(text, (), NONE) for text in spec.routing.examples]
    path = spec.folder / "examples.jsonl"
    for dialogue in read_dialogues(path) if path.is_file() else ():
        said = tuple(turn.text for turn in dialogue.turns if turn.speaker == "user")
        found += [Message(text, said[max(0, i + 1 - TURNS) : i], NONE, dialogue.id) for i, text in enumerate(said)]
    return found


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
