"""What a backbone reads: corpora of dialogues as documents, laid out as `prompt.encode` lays out a turn.

A dialogue gives one document (several when it is long) in which every utterance is learnt, and one for each grounded
reply: its facts, the utterances before it, and the reply, which alone is learnt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from adapterbot.data.corpora import SUFFIXES, Splits, load_path
from adapterbot.data.dialogue import Dialogue, objects
from adapterbot.errors import DataError

HISTORY = 3  # utterances before a grounded reply
CHARACTERS_PER_TOKEN = 3  # fewer than any text has: parts of a long dialogue surely fit


@dataclass(frozen=True, slots=True)
class Document:
    """Facts, then utterances; `learn` are the indexes of the utterances to take a loss on."""

    facts: tuple[str, ...]
    utterances: tuple[str, ...]
    learn: tuple[int, ...]

    def halves(self) -> list[Document]:
        """Two documents, each with half of the utterances; none when there is only one utterance."""
        cut = len(self.utterances) // 2
        parts = ((0, cut), (cut, len(self.utterances))) if cut else ()
        return [
            Document(self.facts, self.utterances[a:b], tuple(i - a for i in self.learn if a <= i < b)) for a, b in parts
        ]


def read_corpora(folder: Path, unsafe: Callable[[str], bool]) -> dict[str, Splits]:
    """All dialogue corpora of a folder (one sub-folder or file each, or a single corpus); sets of labelled texts are
    passed over.

    A train dialogue is kept once, and not at all where it stands in a validation split; it ends before its first turn
    that `unsafe` finds unacceptable.

    Raises:
        DataError: no dialogues there, or the first bad line as file:line.
    """
    corpora = {name: load_path(path) for name, path in find_corpora(folder).items() if not _labelled_texts(path)}
    seen = {_key(dialogue) for splits in corpora.values() for dialogue in splits["valid"]}
    for splits in corpora.values():
        kept = []
        for dialogue in splits["train"]:
            key = _key(dialogue)
            if key not in seen and (safe := _cut(dialogue, unsafe)) is not None:
                kept.append(safe)
            seen.add(key)
        splits["train"] = kept
    if not any(splits["train"] for splits in corpora.values()):
        raise DataError(f"{folder}: no dialogue is left to learn from")
    return corpora


def find_corpora(folder: Path) -> dict[str, Path]:
    """Corpora by name: sub-folders with a train file, files in the dialogue form, or the folder or file itself.

    Raises:
        DataError: there are none.
    """
    if not folder.exists():
        raise DataError(f"{folder} does not exist; --data takes a folder of corpora or one dialogue file")
    if folder.is_file() or _train_file(folder):
        return {folder.name.partition(".")[0]: folder}
    found = {
        path.name.partition(".")[0]: path
        for path in sorted(folder.iterdir())
        if (path.is_dir() and _train_file(path)) or (path.is_file() and path.name.endswith(SUFFIXES))
    }
    if not found:
        raise DataError(f"{folder} holds no corpus: expected NAME/train.jsonl (or .jsonl.gz), or files NAME.jsonl")
    return found


def digest_of(corpora: Mapping[str, Splits]) -> str:
    """Hash over all texts."""
    digest = hashlib.sha256()
    for name, splits in sorted(corpora.items()):
        for part, dialogues in sorted(splits.items()):
            digest.update(repr((name, part, [(d.turns, d.context) for d in dialogues])).encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def training_documents(dialogues: Iterable[Dialogue], positions: int) -> Iterator[Document]:
    """The documents of these dialogues; every other one shows its context, so that both are learnt."""
    for number, dialogue in enumerate(dialogues):
        yield from _parts(dialogue.context if number % 2 else (), dialogue.texts, positions)
        for i, turn in enumerate(dialogue.turns):
            if turn.knowledge and turn.speaker == "system" and i:
                texts = dialogue.texts[max(0, i - HISTORY) : i + 1]
                yield Document(turn.knowledge, texts, (len(texts) - 1,))


def validation_documents(dialogues: Iterable[Dialogue], positions: int) -> list[Document]:
    """Whole dialogues without facts: what bits per byte are measured on."""
    return [document for dialogue in dialogues for document in _parts((), dialogue.texts, positions)]


def _train_file(folder: Path) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := folder / f"train{suffix}").is_file()), None)


def _labelled_texts(path: Path) -> bool:
    """Whether a corpus is a set of labelled texts, by its first line."""
    file = _train_file(path) if path.is_dir() else path
    _, first = next(objects(file), (0, None)) if file else (0, None)
    return isinstance(first, dict) and first.keys() >= {"text", "label"}


def _key(dialogue: Dialogue) -> str:
    return " ".join(re.sub(r"\W+", " ", text.lower()).strip() for text in dialogue.texts)


def _cut(dialogue: Dialogue, unsafe: Callable[[str], bool]) -> Dialogue | None:
    """The dialogue up to its first unsafe turn, or None when less than an exchange is left."""
    if any(map(unsafe, dialogue.context)):
        return None
    end = next((i for i, text in enumerate(dialogue.texts) if unsafe(text)), len(dialogue.turns))
    if end == len(dialogue.turns):
        return dialogue
    return replace(dialogue, turns=dialogue.turns[:end]) if end >= 2 else None


def _parts(facts: tuple[str, ...], texts: tuple[str, ...], positions: int) -> Iterator[Document]:
    """The utterances in order, in as many documents as it takes for each to fit; each repeats the facts."""
    room = positions * CHARACTERS_PER_TOKEN - sum(map(len, facts))
    start = 0
    for end in range(1, len(texts) + 1):
        following = len(texts[end]) if end < len(texts) else room + 1
        if sum(map(len, texts[start:end])) + following > room:
            if end - start > 1 or len(texts) == 1:
                yield Document(facts, texts[start:end], tuple(range(end - start)))
            start = end
