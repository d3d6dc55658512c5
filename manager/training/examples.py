"""2 · What the manager learns from: messages with the skill that should answer them.

Sources, per routable skill: the `examples` of its spec, its sample dialogues, its corpus and its `routing.corpora`.
A label that one skill claims by name (`clinc_oos:weather`) is taken out of what another skill claims whole.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from adapterbot.data import corpora
from adapterbot.data.dialogue import Dialogue, in_validation, objects, read_dialogues
from adapterbot.errors import DataError
from adapterbot.home import DATA
from adapterbot.manager.classifier import SPAN
from adapterbot.manager.training.typing_noise import restyle
from adapterbot.spec.tables import SkillSpec

BUDGETS = (20_000, 12_000)  # that stand alone, follow-ups; over all skills: what two cores encode in a few minutes
VALID_PART = 6  # one validation example per so many to train on
VALID_SHARE = 0.15
SWITCHES = DATA / "samples" / "manager.jsonl"
MIN_OPENER_WORDS = 3  # a shorter first turn is a greeting, whatever the corpus is about


Kind = Literal["alone", "follow"]


@dataclass(frozen=True, slots=True)
class Example:
    """A message and the skill it wants.

    `alone`: it shows that by itself. `follow`: perhaps only together with `history`, the utterances before it, oldest
    first. `trusted`: written for this skill (spec examples, samples), not taken from a corpus.
    """

    message: str
    skill: str
    source: str
    kind: Kind = "alone"
    history: tuple[str, ...] = ()
    valid: bool = False
    trusted: bool = False


def collect(
    specs: Mapping[str, SkillSpec], folder: Path | None, seed: int = 0, budgets: tuple[int, int] = BUDGETS
) -> tuple[list[Example], list[str]]:
    """All examples in a random style, training and validation, and remarks on what was not found.

    Raises:
        DataError: `folder` does not exist or a file in it has a bad line.
    """
    if folder is not None and not folder.is_dir():
        raise DataError(f"{folder} is not a folder of corpora")
    claimed = _claims(specs)
    cache: dict[str, list[Example]] = {}
    found = list(_switches(specs))
    remarks = [] if folder else ["no corpora folder was given: trained on samples and spec examples alone"]
    for name, spec in specs.items():
        found += _own(spec)
        pools: list[list[Example]] = []
        for entry in _entries(spec) if folder else ():
            try:
                items = _from_corpus(entry, folder or Path(), claimed, cache)
            except FileNotFoundError:
                remarks.append(f"{name}: no corpus {entry.corpus!r} in {folder}")
                continue
            pools.append([replace(e, skill=name) for e in items])
        found += _sample(pools, budgets, len(specs), seed)
    return [_restyled(e, seed) for e in found], remarks


@dataclass(frozen=True, slots=True)
class Entry:
    """One claim on a corpus: everything (`only` empty), or one label; `without` are labels left out."""

    corpus: str
    only: str = ""
    without: frozenset[str] = frozenset()


def _entries(spec: SkillSpec) -> list[Entry]:
    """The spec's own corpus and its `routing.corpora`, exclusions of one corpus joined."""
    own = spec.data.corpus if spec.data.corpus != corpora.GENERAL else ""
    entries = [Entry(own, spec.data.domain)] if own else []
    without: dict[str, set[str]] = defaultdict(set)
    for text in spec.routing.corpora:
        corpus, _, label = text.partition(":")
        if label and not label.startswith("-"):
            entries.append(Entry(corpus, label))
        else:
            without[corpus] |= {label[1:]} if label else set()
    return entries + [Entry(corpus, "", frozenset(labels)) for corpus, labels in without.items()]


def _claims(specs: Mapping[str, SkillSpec]) -> dict[str, set[str]]:
    """Labels claimed by name, per corpus."""
    claimed: dict[str, set[str]] = defaultdict(set)
    for spec in specs.values():
        for entry in _entries(spec):
            if entry.only:
                claimed[entry.corpus].add(entry.only)
    return claimed


def _own(spec: SkillSpec) -> Iterator[Example]:
    """The skill's phrases and sample dialogues, and its own dialogue file."""
    for text in spec.routing.examples:
        valid = in_validation(f"{spec.name} {text}", VALID_SHARE)
        yield Example(text, spec.name, "phrases", valid=valid, trusted=True)
    files = {DATA / "samples" / f"{spec.name}.jsonl", spec.folder / "examples.jsonl"}
    files |= {spec.folder / spec.data.path} if spec.data.path else set()
    for path in sorted(files):
        if path.is_file():
            for dialogue in read_dialogues(path):
                valid = in_validation(dialogue.id, VALID_SHARE)
                yield from (
                    replace(e, skill=spec.name) for e in from_dialogue(dialogue, "samples", valid, trusted=True)
                )


def _switches(specs: Mapping[str, SkillSpec]) -> Iterator[Example]:
    """Our own dialogues that change the subject: the label of each user turn is the skill that it wants.

    A turn that changes the subject is understood without its history, so it stands alone.
    """
    for dialogue in read_dialogues(SWITCHES):
        valid = in_validation(dialogue.id, VALID_SHARE)
        before = ""
        for i, turn in enumerate(dialogue.turns):
            if turn.label in specs and turn.label == before:
                history = tuple(t.text for t in dialogue.turns[max(0, i - SPAN) : i])
                yield Example(turn.text, turn.label, "samples", "follow", history, valid, trusted=True)
            elif turn.label in specs:
                yield Example(turn.text, turn.label, "samples", "alone", (), valid, trusted=True)
            before = turn.label or before


def from_dialogue(dialogue: Dialogue, source: str, valid: bool, trusted: bool = False) -> Iterator[Example]:
    """The first user turn as `alone` (when it is more than a greeting), the later ones as `follow`."""
    turns = dialogue.turns
    for i, turn in enumerate(turns):
        if turn.speaker != "user":
            continue
        history = tuple(t.text for t in turns[max(0, i - SPAN) : i])
        if i >= 2:
            yield Example(turn.text, "", source, "follow", history, valid, trusted)
        elif i == 0 and len(turn.text.split()) >= MIN_OPENER_WORDS:
            yield Example(turn.text, "", source, "alone", (), valid, trusted)


def _from_corpus(
    entry: Entry, folder: Path, claimed: Mapping[str, set[str]], cache: dict[str, list[Example]]
) -> Iterable[Example]:
    """Examples of a corpus that `entry` claims; until it is known whose they are, `skill` holds the corpus label."""
    if entry.corpus not in cache:
        cache[entry.corpus] = list(_read(entry.corpus, folder))
    if entry.only:
        return [e for e in cache[entry.corpus] if e.skill == entry.only]
    without = entry.without | claimed.get(entry.corpus, set())
    return [e for e in cache[entry.corpus] if e.skill not in without]


def _read(corpus: str, folder: Path) -> Iterator[Example]:
    places = [folder / n for n in (*corpora.folders(corpus), corpus) if (folder / n).is_dir()]
    if not places:
        raise FileNotFoundError(corpus)
    texts = None if hasattr(corpora.reader(corpus), "read") else _labelled_texts(places[0])
    if texts is not None:
        yield from (replace(e, source=corpus) for e in texts)
        return
    for split, dialogues in corpora.load(corpus, folder).items():
        for dialogue in dialogues:
            for example in from_dialogue(dialogue, corpus, split == "valid"):
                yield replace(example, skill=dialogue.domain or dialogue.label)


def _labelled_texts(place: Path) -> list[Example] | None:
    """`{"text", "label"}` lines of train and valid, or None when the folder holds dialogues."""
    found: list[Example] = []
    for split in ("train", "valid"):
        path = next((p for p in sorted(place.glob(f"{split}.jsonl*"))), None)
        for number, item in objects(path) if path else ():
            if not isinstance(item, dict) or not isinstance(item.get("text"), str):
                if number == 1:
                    return None
                raise DataError(f'{path}:{number}: not {{"text", "label"}}')
            found.append(Example(item["text"], str(item.get("label") or ""), "", valid=split == "valid"))
    return found or None


def _sample(pools: list[list[Example]], budgets: tuple[int, int], skills: int, seed: int) -> Iterator[Example]:
    """Fills the skill's share of the budgets evenly from its corpora; what a small one lacks, the others give."""
    for kind, budget in zip(("alone", "follow"), budgets, strict=True):
        for valid in (False, True):
            left = budget // skills // (VALID_PART if valid else 1)
            chosen = [[e for e in pool if e.kind == kind and e.valid == valid] for pool in pools]
            for done, pool in enumerate(sorted(chosen, key=len)):
                take = min(len(pool), left // (len(chosen) - done))
                rng = random.Random(f"{seed} {pool[0].skill} {pool[0].source}" if pool else seed)
                yield from rng.sample(pool, take)
                left -= take


def _restyled(example: Example, seed: int) -> Example:
    message, *before = (restyle(t, random.Random(f"{seed} {t}")) for t in (example.message, *example.history))
    return replace(example, message=message, history=tuple(before))
