"""How safe are verdicts, however a claim is worded? Measured on wordings whose right verdicts were written by hand.

A sentence has verdicts that are right; a frame ("It is unlikely that {claim}") takes every phrasing of a claims file,
and keeps its verdict, reverses it, or leaves none. A verdict that is not right is wrong; "not known" never is, and its
share is what safety costs.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterbot.errors import DataError
from adapterbot.evaluation.metrics import spread
from adapterbot.facts import Label
from adapterbot.knowledge.claims.phrasings import LABELS, OPPOSITE
from adapterbot.knowledge.claims.source import ClaimSource

FORM = (
    '{"text", "right": ["supported" | "contradicted" | "not known"], "kind"} or {"frame": "... {claim} ...", "effect"}'
)
SAME: Mapping[Label, Label] = {label: label for label in LABELS.values()}
EFFECTS: Mapping[str, Mapping[Label, Label]] = {"keep": SAME, "reverse": OPPOSITE, "neither": {}}
PLACE = "{claim}"
UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Wording:
    """A text, the verdicts that are right on it, and what kind it is."""

    text: str
    right: frozenset[str]
    kind: str


def evaluate_wordings(
    source: ClaimSource,
    path: Path,
    most: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Of each kind (of a frame, its effect) and of all how many `texts` there are, and which shares of them get a right
    verdict, a wrong one, and none (`not known`). Frames take at most `most` of the phrasings that are true or false.

    Raises:
        DataError: the file cannot be read or holds nothing, or its first item that is not of this form.
    """
    wordings = list(read_wordings(source, path, most))
    found = defaultdict[str, Counter[str]](Counter)
    for wording in wordings:
        outcome = judged(source, wording)
        found["all"][outcome] += 1
        found[wording.kind][outcome] += 1
        advance(1, len(wordings))
    return {kind: _shares(counts) for kind, counts in sorted(found.items())}


def judged(source: ClaimSource, wording: Wording) -> str:
    """`right`, `wrong` or `not known`."""
    match = source.judge(wording.text)
    if match is None or match.label == UNKNOWN:
        return UNKNOWN
    return "right" if match.label in wording.right else "wrong"


def read_wordings(source: ClaimSource, path: Path, most: int) -> Iterator[Wording]:
    """The sentences of a file, and its frames around phrasings of the source, evenly spread."""
    phrasings = spread([p for p in source.phrasings if p.label != UNKNOWN], most)
    for item, where in _items(path):
        match item:
            case {"text": str(text), "right": [*right], "kind": str(kind)} if all(r in LABELS.values() for r in right):
                yield Wording(text, frozenset(right), kind)
            case {"frame": str(frame), "effect": str(effect)} if PLACE in frame and effect in EFFECTS:
                for p in phrasings:
                    right = [EFFECTS[effect][p.label]] if EFFECTS[effect] else []
                    yield Wording(frame.replace(PLACE, p.said.text), frozenset(right), effect)
            case _:
                raise DataError(f"{where}: not {FORM}")


def _items(path: Path) -> Iterator[tuple[object, str]]:
    """Each object of a JSON list or of JSON lines, and where it stands."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not text.strip():
        raise DataError(f"{path} holds no wording: {FORM}")
    if text.lstrip().startswith("["):
        yield from ((item, f"{path}: item {n}") for n, item in enumerate(_parsed(text, str(path)), 1))
    else:
        lines = ((line, f"{path}:{n}") for n, line in enumerate(text.splitlines(), 1) if line.strip())
        yield from ((_parsed(line, where), where) for line, where in lines)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{where}: not JSON") from None


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = counts.total()
    return {"texts": float(total)} | {outcome: counts[outcome] / total for outcome in ("right", "wrong", UNKNOWN)}
