"""3 · Amounts in a message: "more than three stars", "at least 4", "under 10 pounds", "between 2 and 4 miles"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapterbot.knowledge.query_language import Clause, Test
from adapterbot.language.values import DIGITS

NUMBER = rf"(?:£|\$|€)?\s*(?<![\d:.])(\d{{1,4}}(?:[.,]\d\d?)?(?!\d|:\d)|\b(?:{'|'.join(DIGITS)}|one)\b)"
NOT = r"(?:not|no|nothing|none|never|isn'?t|don'?t want)(?: (?:any|that is|that's|with|go|be))?"
BEFORE: tuple[tuple[str, Test], ...] = (
    (rf"{NOT} (?:more|over|above|further|farther|longer|higher|bigger|larger)(?: than)?", "<="),
    (rf"{NOT} (?:less|fewer|under|below|lower|smaller|worse)(?: than)?", ">="),
    (r"at (?:the )?least|(?:a )?min(?:imum)?(?: of)?|>=", ">="),
    (r"at (?:the )?most|(?:a )?max(?:imum)?(?: of)?|up to|within|<=", "<="),
    (r"(?:more|greater|higher|better|bigger|larger|further|farther|longer|dearer) than", ">"),
    (r"over|above|beyond|exceeding|>", ">"),
    (r"(?:less|fewer|lower|cheaper|closer|nearer|shorter|smaller) than|under|below|<", "<"),
)  # fmt: skip
BEHIND: tuple[tuple[str, Test], ...] = (
    (r"(?:or|and) (?:more|better|above|higher|up|over|greater|bigger|larger|upwards?)\b|\+|plus\b|minimum\b", ">="),
    (r"(?:or|and) (?:less|fewer|below|under|lower|cheaper|closer|smaller|nearer)\b|max(?:imum)?\b|tops\b", "<="),
)
COUNTED = {
    "stars": ("star", "stars", "starred"),
    "seats": ("seat", "seats", "seater", "people", "person", "persons", "passenger", "passengers", "of us", "riders"),
}
MONEY = ("pound", "pounds", "quid", "£", "gbp", "euro", "euros", "€", "dollar", "dollars", "$", "bucks")


@dataclass(frozen=True, slots=True)
class Amount:
    """What a message says of a column's amounts, and where."""

    column: str
    test: Test
    values: tuple[str, ...]
    start: int
    end: int
    bare: bool = False  # "4 stars" and not "at least"

    @property
    def clause(self) -> Clause:
        """As a query has it."""
        return Clause(self.column, self.test, self.values)


def amounts(text: str, units: Mapping[str, Sequence[str]], usual: str = "") -> list[Amount]:
    """What a text says of the columns of `units`; a compared number without a unit is of the column `usual`."""
    found = list[Amount]()
    taken = -1
    for number in re.finditer(NUMBER, text, re.I):
        if number.start() < taken:
            continue
        single = _single(text, number, units, usual)
        found += _between(text, number, units, usual) or ([single] if single else [])
        taken = found[-1].end if found else taken
    return found


def units_of(name: str, cells: Sequence[str]) -> tuple[str, ...]:
    """The units of a column whose cells are amounts ("4 miles", "£12.50", "free"); none for any other column."""
    counted = [re.fullmatch(r"(£|\$|€)?\s*\d{1,4}(?:[.,]\d+)?\s*([a-z%]{0,12})", cell.strip(), re.I) for cell in cells]
    kept = [match for match in counted if match]
    if not kept or len(kept) + sum(cell.lower() == "free" for cell in cells) < 0.8 * len(cells):
        return ()
    words = {word.lower() for match in kept for word in match.groups() if word}
    words |= {form for word in words if word.isalpha() for form in (word.removesuffix("s"), word + "s")}
    words |= set(MONEY) if words & set(MONEY) or re.search(r"price|fare|fee|cost", name, re.I) else set()
    words |= {"min", "mins"} if "minute" in words else set()
    return tuple(sorted({*words, *COUNTED.get(name.lower(), ()), name.lower()}, key=len, reverse=True))


def _single(text: str, number: re.Match[str], units: Mapping[str, Sequence[str]], usual: str) -> Amount | None:
    before = text[: number.start()]
    ends = r"\s*(?:an?|the|just)?\s*$"
    test: Test | None = next((t for p, t in BEFORE if re.search(rf"(?:^|\W)(?:{p}){ends}", before, re.I)), None)
    values = [_plain(number[1])]
    end = number.end()
    other = re.match(rf"\s*(?:or|and|/)\s*{NUMBER}", text[end:], re.I)
    if other and _column(text, end + other.end(), number, units):
        values.append(_plain(other[1]))
        end += other.end()
    named = _column(text, end, number, units)
    end += named[1] if named else 0
    behind = re.match(r"[\s,-]*", text[end:])
    end += behind.end() if behind else 0
    found = next((t for p, t in BEHIND if re.match(p, text[end:], re.I)), None)
    if named is None:
        if usual and (test or found) and not re.match(r"\s*(?:[ap]\.?m\b|o'?clock|%)", text[number.end() :], re.I):
            return Amount(usual, test or found or "=", tuple(values), number.start(), end)
        return None
    return Amount(named[0], test or found or "=", tuple(values), number.start(), end, not (test or found))


def _between(text: str, number: re.Match[str], units: Mapping[str, Sequence[str]], usual: str) -> list[Amount]:
    """Two limits: "between 2 and 4 stars", "3 to 5 stars"; none where there are not two."""
    other = re.match(rf"\s*(?:-|–|to|and|through)\s*{NUMBER}", text[number.end() :], re.I)
    if other is None:
        return []
    end = number.end() + other.end()
    named = _column(text, end, number, units)
    said = re.search(r"\bbetween\s*$", text[: number.start()], re.I)
    joined = not re.match(r"\s*and", text[number.end() :], re.I)
    if not (said or joined) or not (named or (said and usual)):
        return []
    low, high = sorted((_plain(number[1]), _plain(other[1])), key=float)
    column, length = named or (usual, 0)
    where = (number.start(), end + length)
    return [Amount(column, ">=", (low,), *where), Amount(column, "<=", (high,), *where)]


def _column(text: str, end: int, number: re.Match[str], units: Mapping[str, Sequence[str]]) -> tuple[str, int] | None:
    """The column whose unit stands behind a number, or before it as a sign of money, and the unit's length."""
    for name, words in units.items():
        for word in words:
            unit = re.match(rf"\s*-?\s*{re.escape(word)}(?!\w)", text[end:], re.I)
            if unit and word.isalpha():
                return name, unit.end()
            if unit or (not word.isalpha() and number[0].lstrip().startswith(word)):
                return name, unit.end() if unit else 0
    return None


def _plain(number: str) -> str:
    low = number.lower().replace(",", ".")
    return "1" if low == "one" else DIGITS.get(low, low)
