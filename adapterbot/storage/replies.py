"""A reply as the store keeps it, read back: the inverse of `Reply.to_dict`, but for the history."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from adapterbot import facts
from adapterbot.facts import Asked, Day, Fact, Passage
from adapterbot.turn import Draft, Reply, RoutedBy

KINDS: dict[str, type[Fact]] = {
    kind.kind: kind
    for kind in (
        facts.Passage,
        facts.PersonaLine,
        facts.Triple,
        facts.Row,
        facts.Forecast,
        facts.Event,
        facts.Verdict,
        facts.Nothing,
        facts.Notice,
        facts.Count,
        facts.Answer,
    )
}
CELLS = frozenset({"cells", "said"})  # fields that are names with their values
TIMES = frozenset({"start", "end"})


def reply_of(text: str, skill: str, routed_by: str, details: Mapping[str, Any]) -> Reply:
    """The reply that was stored.

    Raises:
        ValueError, TypeError, KeyError: the details are not what was written.
    """
    return Reply(
        text,
        skill,
        scores={str(name): float(score) for name, score in details.get("scores", {}).items()},
        routed_by=cast("RoutedBy", routed_by),
        reason=str(details.get("reason", "")),
        facts=tuple(fact_of(plain) for plain in details.get("facts", ())),
        drafts=tuple(Draft(**draft) for draft in details.get("drafts", ())),
        dropped=tuple(map(str, details.get("dropped", ()))),
        warnings=tuple(map(str, details.get("warnings", ()))),
        timings={str(stage): float(seconds) for stage, seconds in details.get("timings", {}).items()},
        seed=details.get("seed"),
        care=str(details.get("care", "")),
    )


def fact_of(plain: Mapping[str, Any]) -> Fact:
    """The fact behind its JSON form; of a kind that is not known here, a passage with its line."""
    kind = KINDS.get(str(plain.get("kind")))
    if kind is None:
        return Passage(str(plain.get("title", "")), str(plain.get("text", "")), source=str(plain.get("source", "")))
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: _field(name, plain[name]) for name in names if name in plain})


def _field(name: str, value: Any) -> Any:
    if name in CELLS:
        return tuple((str(key), str(cell)) for key, cell in (value.items() if isinstance(value, Mapping) else value))
    if name in TIMES:
        return datetime.fromisoformat(value)
    if name == "days":
        return tuple(Day(**day) for day in value)
    if name == "asked" and isinstance(value, list):
        return tuple(Asked(**one) for one in value)
    if name == "wanted":
        return tuple(tuple(map(str, one)) for one in value)
    return value
