"""Days that go by a name: Thanksgiving, Easter Monday, New Year's Eve. When they are is told by `holidays`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache

# Of both the feasts count whose names are English words to all; the first goes before.
COUNTRIES = (("US", ("public", "unofficial")), ("GB", ("public",)))
# What goes by less than its whole name.
SHORTER = {
    "christmas day": ("christmas",),
    "thanksgiving day": ("thanksgiving",),
    "easter sunday": ("easter",),
    "new year day": ("new year",),
    "valentine day": ("valentine",),
    "saint patrick day": ("st patrick day", "saint patrick"),
    "martin luther king jr day": ("martin luther king day", "mlk day"),
    "washington birthday": ("president day", "presidents day"),
    "juneteenth national independence day": ("juneteenth",),
    "new year eve": ("new year eve day",),
}
YEARS = range(1900, 2200)
LONGEST = 5  # words


def feast_at(words: Sequence[str]) -> tuple[str, int] | None:
    """The name of the feast that `words` begin with, and how many of them are its name."""
    names = _feasts(2026)
    for size in range(min(LONGEST, len(words)), 0, -1):
        name = _plain(" ".join(words[:size]))
        if name in names:
            return name, size
    return None


def feast(name: str, year: int) -> date | None:
    """When it is in that year."""
    return _feasts(year).get(name) if year in YEARS else None


@lru_cache(maxsize=64)
def _feasts(year: int) -> dict[str, date]:
    """The feasts of a year by name."""
    import holidays

    found: dict[str, date] = {}
    for country, categories in COUNTRIES:
        of_year = holidays.country_holidays(
            country, years=year, categories=categories, observed=False, language="en_US"
        )
        for day, several in of_year.items():
            for name in map(_plain, several.split(";")):
                for form in (name, *SHORTER.get(name, ())):
                    found.setdefault(form, day)
    return found


def _plain(name: str) -> str:
    """A name in lower case, without 's and marks."""
    return " ".join(re.findall(r"\w+", re.sub(r"['’]s?\b", "", name.lower())))
