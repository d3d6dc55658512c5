"""What a backbone reads: corpora of dialogues as documents, cleaned, laid out as `prompt.encode` lays out a turn.

A dialogue gives one document (several when it is long) in which every utterance is learnt, and one for each grounded
reply: its facts, the utterances before it, and the reply, which alone is learnt.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapterbot.data.corpora import SUFFIXES, Splits, load_path
from adapterbot.data.dialogue import Dialogue, DialogueTurn
from adapterbot.errors import DataError
from adapterbot.language.sentences import recase
from adapterbot.training.recipe import MixtureTable

REGISTER = "register: lower case"  # the fact line that marks a document in lower case
HISTORY = 3  # utterances before a grounded reply
CHARACTERS_PER_TOKEN = 3  # fewer than any text has: chunks of a long dialogue surely fit
CONTEXT_SHARE = 0.5  # of the dialogues that have a context show it
LONG_TURN = 8  # words
SHARED_TURNS = 2  # long turns in common with validation dialogues, from which on a dialogue is a near duplicate,
SHARED_SHARE = 0.4  # if they are also this share of its long turns


@dataclass(frozen=True, slots=True)
class Document:
    """Facts, then utterances; `learn` are the indexes of the utterances to take a loss on."""

    corpus: str
    facts: tuple[str, ...]
    utterances: tuple[str, ...]
    learn: tuple[int, ...]

    def halves(self) -> list[Document]:
        """Two documents, each with half of the utterances; none when there is only one utterance."""
        cut = len(self.utterances) // 2
        parts = ((0, cut), (cut, len(self.utterances))) if cut else ()
        return [
            Document(self.corpus, self.facts, self.utterances[a:b], tuple(i - a for i in self.learn if a <= i < b))
            for a, b in parts
        ]


@dataclass(slots=True)
class PretrainingCorpora:
    """Cleaned splits by name, and what the cleaning took away in words."""

    splits: dict[str, Splits]
    removed: Counter[str] = field(default_factory=Counter)

    @property
    def digest(self) -> str:
        """Hash over all texts that are left."""
        digest = hashlib.sha256()
        for name, splits in sorted(self.splits.items()):
            for part, dialogues in sorted(splits.items()):
                digest.update(repr((name, part, [(d.turns, d.context) for d in dialogues])).encode("utf-8", "replace"))
        return digest.hexdigest()[:16]


def read_corpora(folder: Path, mixture: MixtureTable, unsafe: Callable[[str], bool]) -> PretrainingCorpora:
    """All dialogue corpora of a folder (one sub-folder or file each, or a single corpus), cleaned.

    A train dialogue that stands twice, in any two corpora, is kept once; one that a validation dialogue shares most of
    its long turns with goes, unless its corpus is templated: there only the same dialogue does. A dialogue ends before
    its first turn that `unsafe` finds unacceptable.

    Raises:
        DataError: no dialogues there, or the first bad line as file:line.
    """
    found = find_corpora(folder, mixture.leave_out)
    corpora = PretrainingCorpora({name: load_path(path) for name, path in found.items()})
    held = _Held(d for splits in corpora.splits.values() for d in splits["valid"])
    seen: set[str] = set()
    for name, splits in corpora.splits.items():
        kept = []
        near = name not in mixture.templated
        for dialogue in splits["train"]:
            key = _key(dialogue)
            why = "duplicates" if key in seen else held.why(dialogue, key, near)
            seen.add(key)
            safe = dialogue if why else _cut(dialogue, unsafe)
            if why or safe is None:
                corpora.removed[why or "unsafe"] += 1
                continue
            corpora.removed["cut short before an unsafe turn"] += safe is not dialogue
            kept.append(safe)
        splits["train"] = kept
    if not any(splits["train"] for splits in corpora.splits.values()):
        raise DataError(f"{folder}: no dialogue is left to learn from ({dict(corpora.removed)})")
    return corpora


def find_corpora(folder: Path, leave_out: Iterable[str]) -> dict[str, Path]:
    """Corpora by name: sub-folders with a train file, files in the dialogue form, or the folder or file itself."""
    if not folder.exists():
        raise DataError(f"{folder} does not exist; --data takes a folder of corpora or one dialogue file")
    if folder.is_file() or any((folder / f"train{s}").is_file() for s in SUFFIXES):
        return {folder.name.partition(".")[0]: folder}
    found = {}
    for path in sorted(folder.iterdir()):
        name = path.name.partition(".")[0]
        inside = path.is_dir() and any((path / f"train{s}").is_file() for s in SUFFIXES)
        if name not in leave_out and (inside or (path.is_file() and path.name.endswith(SUFFIXES))):
            found[name] = path
    if not found:
        raise DataError(f"{folder} holds no corpus: expected NAME/train.jsonl (or .jsonl.gz), or files NAME.jsonl")
    return found


class _Held:
    """The validation dialogues, as what training must not contain."""

    def __init__(self, dialogues: Iterable[Dialogue]) -> None:
        self._keys = set()
        self._turns = set()
        for dialogue in dialogues:
            self._keys.add(_key(dialogue))
            self._turns.update(_long_turns(dialogue))

    def why(self, dialogue: Dialogue, key: str, near: bool) -> str:
        """Why this dialogue cannot be trained on, or an empty text; `near` rules out near duplicates too."""
        if key in self._keys:
            return "stand in a validation split"
        if not near:
            return ""
        turns = _long_turns(dialogue)
        shared = sum(t in self._turns for t in turns)
        close = shared >= SHARED_TURNS and shared >= SHARED_SHARE * len(turns)
        return "near duplicates of validation dialogues" if close else ""


def _key(dialogue: Dialogue) -> str:
    return " ".join(re.sub(r"\W+", " ", t.text.lower()).strip() for t in dialogue.turns)


def _long_turns(dialogue: Dialogue) -> list[str]:
    return [t.text.lower() for t in dialogue.turns if t.text.count(" ") >= LONG_TURN - 1]


def _cut(dialogue: Dialogue, unsafe: Callable[[str], bool]) -> Dialogue | None:
    """The dialogue up to its first unsafe turn, or None when less than an exchange is left."""
    if any(map(unsafe, dialogue.context)):
        return None
    end = next((i for i, t in enumerate(dialogue.turns) if unsafe(t.text)), len(dialogue.turns))
    if end == len(dialogue.turns):
        return dialogue
    return None if end < 2 else Dialogue(dialogue.id, dialogue.turns[:end], dialogue.context, dialogue.domain)


def training_documents(
    corpora: PretrainingCorpora,
    mixture: MixtureTable,
    positions: int,
    seed: int,
    number: int,
) -> Iterator[Document]:
    """The documents of pass `number`: each as often as the recipe's weights say, corpus by corpus."""
    for name, splits in corpora.splits.items():
        for dialogue in splits["train"]:
            draw = random.Random(f"{seed} {number} {name} {dialogue.id}")
            for _ in range(_times(mixture.dialogues, name, draw)):
                yield from whole(name, dialogue, positions, draw, name in mixture.templated)
            grounded = [i for i, t in enumerate(dialogue.turns) if t.knowledge and t.speaker == "system" and i]
            for index in grounded:
                for _ in range(_times(mixture.grounded, name, draw)):
                    yield _grounded(name, dialogue, index, draw)


def validation_documents(corpus: str, dialogues: Iterable[Dialogue], positions: int) -> list[Document]:
    """Whole dialogues as their source has them, without facts: what bits per byte are measured on."""
    return [d for dialogue in dialogues for d in _chunks(corpus, (), [t.text for t in dialogue.turns], positions)]


def _times(weights: Mapping[str, float], name: str, draw: random.Random) -> int:
    """A weight as a whole number: 1.3 is 1, and 2 in 3 of 10 cases."""
    weight = weights.get(name, weights.get("others", 1.0))
    return math.floor(weight) + (draw.random() < weight % 1)


def whole(
    corpus: str, dialogue: Dialogue, positions: int, draw: random.Random, templated: bool = False
) -> Iterator[Document]:
    """The dialogue, every utterance learnt; its context comes first in half of the cases."""
    facts = dialogue.context if draw.random() < CONTEXT_SHARE else ()
    register, dialogue = in_register(dialogue, draw, mend=not templated)
    yield from _chunks(corpus, (*register, *facts), [t.text for t in dialogue.turns], positions)


def in_register(dialogue: Dialogue, draw: random.Random, mend: bool = True) -> tuple[tuple[str, ...], Dialogue]:
    """A lower-case dialogue with capitals, with capitals on the system's side only, or as it is.

    Without `mend` it always stays as it is. There it is marked by the fact line REGISTER two times in three; without
    the mark the model still learns to go on in a lower case that the bot itself has used. Another dialogue is left
    alone.
    """
    if any(c.isupper() for turn in dialogue.turns for c in turn.text):
        return (), dialogue
    kind = draw.random() * (1.0 if mend else 0.4)
    if kind < 0.4:
        return ((REGISTER,) if kind < 0.27 else ()), dialogue
    turns = tuple(
        DialogueTurn(t.speaker, recase(t.text), t.knowledge, t.label) if kind >= 0.7 or t.speaker == "system" else t
        for t in dialogue.turns
    )
    return (), Dialogue(dialogue.id, turns, dialogue.context, dialogue.domain, dialogue.label)


def _grounded(corpus: str, dialogue: Dialogue, index: int, draw: random.Random) -> Document:
    """One grounded reply with its facts, the first of them at least, and the utterances before it."""
    knowledge = dialogue.turns[index].knowledge
    facts = knowledge[: draw.randint(1, len(knowledge))]
    texts = tuple(t.text for t in dialogue.turns[max(0, index - HISTORY) : index + 1])
    return Document(corpus, facts, texts, (len(texts) - 1,))


def _chunks(corpus: str, facts: tuple[str, ...], texts: list[str], positions: int) -> Iterator[Document]:
    """The utterances in order, in as many documents as it takes for each to fit; each repeats the facts."""
    room = positions * CHARACTERS_PER_TOKEN - sum(map(len, facts))
    part: list[str] = []
    length = 0
    for text in texts:
        if part and length + len(text) > room:
            yield Document(corpus, facts, tuple(part), tuple(range(len(part))))
            part = []
            length = 0
        part.append(text)
        length += len(text)
    if len(part) > 1 or len(texts) == 1:
        yield Document(corpus, facts, tuple(part), tuple(range(len(part))))
