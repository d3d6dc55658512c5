"""How several skills are named as one: a stack, `empathetic+joy`, or a weighted average, `0.7*empathetic+0.3*joy`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from adapterbot.errors import SettingError, shorten

MOST = 4  # skills in one name
LARGEST = 4.0  # weight


class Part(NamedTuple):
    """A skill of a name, and how often what its adapter adds counts; None: it is stacked, once."""

    skill: str
    weight: float | None = None

    def __str__(self) -> str:
        return self.skill if self.weight is None else f"{self.weight:g}*{self.skill}"


@lru_cache(maxsize=4096)
def parts_of(name: str) -> tuple[Part, ...]:
    """The skills that a name stands for, the first one the one that answers.

    In a stack every adapter reads what those before it have made; in an average all read the same, and what they add is
    summed by their weights, which count as they are written.

    Raises:
        SettingError: some have weights and others have not, a weight is out of range, one skill is named twice, there
            are too many, or there is nothing between two of them.
    """
    parts = tuple(_part(name, text.strip()) for text in name.split("+"))
    if len({part.weight is None for part in parts}) > 1:
        raise SettingError(f"skill {shorten(name)!r}: either every part has a weight, as in 0.7*a+0.3*b, or none, a+b")
    if len(parts) > MOST:
        raise SettingError(f"skill {shorten(name)!r} names {len(parts)} skills; {MOST} at most")
    twice = next((p.skill for i, p in enumerate(parts) if p.skill in [q.skill for q in parts[:i]]), None)
    if twice is not None:
        raise SettingError(f"skill {shorten(name)!r} names {twice!r} twice; 2*{twice} lets it count twice")
    return parts


def name_of(parts: Iterable[Part]) -> str | None:
    """The name that stands for these; None for none."""
    return "+".join(map(str, parts)) or None


def _part(name: str, text: str) -> Part:
    weight, star, skill = text.rpartition("*")
    skill = skill.strip()
    if not star:
        if not skill and "+" in name:
            raise SettingError(f"skill {shorten(name)!r}: a name is missing beside +; a stack is written a+b")
        return Part(skill)
    try:
        value = float(weight)
    except ValueError:
        raise SettingError(f"skill {shorten(name)!r}: {weight!r} is not a weight, as in 0.7*a+0.3*b") from None
    if not (math.isfinite(value) and 0 < value <= LARGEST and skill):
        raise SettingError(
            f"skill {shorten(name)!r}: a weight is above 0 and at most {LARGEST:g}, before a skill's name"
        )
    return Part(skill, value)
