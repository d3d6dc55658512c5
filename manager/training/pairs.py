"""2 · Labelled pairs of a premise and a statement: what the judge learns from and is measured on.

A folder of them is `<set>/train.jsonl[.gz]` and `<set>/valid.jsonl[.gz]`, see FORM.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from adapterbot.errors import DataError
from adapterbot.manager.judge import CONTRADICTS, ENTAILS, LABELS, NEITHER

FORM = '{"premise", "hypothesis", "label": "entails" | "contradicts" | "neither"}'
# Sets whose "neither" is all that is not entailed, and sets where it is all that is not contradicted.
NOT_ENTAILED = ("rte", "med", "begin", "mctest", "wice")
NOT_CONTRADICTED = ("citod", "prosecco")
SUFFIXES = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True)
class Pair:
    """`labels` are those of LABELS that may hold: more than one where a set does not tell them apart."""

    premise: str
    statement: str
    labels: tuple[str, ...]

    @property
    def sure(self) -> str:
        """The label, or empty where there is more than one."""
        return self.labels[0] if len(self.labels) == 1 else ""


def read_pairs(folder: Path, part: str) -> dict[str, list[Pair]]:
    """The pairs of a part (`train`, `valid`) of every set in the folder that has any.

    Raises:
        DataError: no set has that part, or the first line that is not of FORM, as file:line.
    """
    found = dict[str, list[Pair]]()
    for own in sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ():
        file = next((own / (part + suffix) for suffix in SUFFIXES if (own / (part + suffix)).is_file()), None)
        pairs = _read(file, own.name) if file else []
        if pairs:
            found[own.name] = pairs
    if not found:
        raise DataError(f"{folder} has no NAME/{part}.jsonl or .jsonl.gz of labelled pairs, {FORM} a line")
    return found


def _read(path: Path, name: str) -> list[Pair]:
    found = list[Pair]()
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            for number, raw in enumerate(stream, 1):
                found.append(_pair(raw, f"{path}:{number}", name))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return found


def _pair(raw: bytes, where: str, name: str) -> Pair:
    try:
        item = json.loads(raw.decode("utf-8-sig"))
        premise, statement, label = item["premise"], item["hypothesis"], item["label"]
        source = item.get("source", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{where}: not {FORM}") from None
    if not isinstance(premise, str) or not isinstance(statement, str) or label not in LABELS:
        raise DataError(f"{where}: not {FORM}")
    return Pair(premise, statement, meant(label, name if name != "negation_nli" else source))


def meant(label: str, name: str) -> tuple[str, ...]:
    """The labels that may hold where the set of that name says `label`."""
    if label == NEITHER and name in NOT_ENTAILED:
        return (CONTRADICTS, NEITHER)
    if label == NEITHER and name in NOT_CONTRADICTED:
        return (ENTAILS, NEITHER)
    return (label,)


def alternatives(pairs: Iterable[Pair]) -> list[tuple[str, ...]]:
    """What a set tells apart: groups of labels that share none, in the order of LABELS."""
    seen = {pair.labels for pair in pairs}
    kept = [one for one in seen if not any(set(one) < set(other) for other in seen)]
    return sorted(kept, key=lambda labels: LABELS.index(labels[0]))
