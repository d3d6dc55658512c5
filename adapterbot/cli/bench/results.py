"""What a run of the bench has found: rows with what they are held to, series, and the machine; to JSON and back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adapterbot.errors import DataError
from adapterbot.home import read_whole, written_by_rename

LARGEST = 2**22  # bytes of a report


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of ours, beside one of another where there is one, each as often as it was measured.

    What was measured at the same place of both was measured one directly after the other.
    """

    part: str
    name: str
    unit: str
    ours: tuple[float, ...] = ()
    against: str = ""
    theirs: tuple[float, ...] = ()
    at_least: float | None = None  # of the ratio, or of our figure where there is no other
    at_most: float | None = None
    why: str = ""  # there is no figure

    @property
    def value(self) -> float | None:
        """What is held to the target: the median of ours over theirs, pair by pair, as both slow down together where
        the machine does; or our median."""
        if not self.ours or self.why:
            return None
        if not self.against:
            return statistics.median(self.ours)
        pairs = zip(self.ours, self.theirs, strict=False)
        ratios = [mine / other for mine, other in pairs if other]
        return statistics.median(ratios) if ratios else None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None where there is no target or no figure."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    @property
    def target(self) -> str:
        """The target in words; empty without one."""
        times = " x" if self.against else ""
        if self.at_least is not None:
            return f"at least {self.at_least:g}{times}"
        return "" if self.at_most is None else f"at most {self.at_most:g}{times}"

    @property
    def verdict(self) -> str:
        """The target's outcome in a word, or why there is none."""
        if self.why:
            return f"not measured: {self.why}"
        return "" if self.reached is None else "reached" if self.reached else "missed"


@dataclass(frozen=True, slots=True)
class Series:
    """How a figure of ours grows."""

    part: str
    name: str
    along: str  # what `x` counts
    unit: str  # of `y`
    x: tuple[int, ...]
    y: tuple[float, ...]


@dataclass(slots=True)
class Report:
    """One run."""

    machine: Mapping[str, Any]
    quick: bool
    stopped: bool = False  # before all was measured
    rows: list[Row] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)

    def add(self, found: Row | Series) -> None:
        """Take in what was measured; a series takes the place of its own beginning."""
        if isinstance(found, Row):
            self.rows.append(found)
        else:
            self.series = [one for one in self.series if (one.part, one.name) != (found.part, found.name)] + [found]

    def write(self, path: Path) -> None:
        """As JSON, by rename, each row with what comes of it."""
        rows = [asdict(r) | {"value": r.value, "target": r.target, "reached": r.reached} for r in self.rows]
        content = asdict(self) | {"rows": rows}
        with written_by_rename(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_report(path: Path) -> Report:
    """The report in a file of `Report.write`.

    Raises:
        DataError: there is none, or it is damaged.
    """
    try:
        given = json.loads(read_whole(path, LARGEST))
        rows = [Row(**_tuples(row, Row)) for row in given["rows"]]
        series = [Series(**_tuples(one, Series)) for one in given["series"]]
        return Report(given["machine"], given["quick"], given["stopped"], rows, series)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no report of the bench: {error}") from None


def _tuples(given: Mapping[str, Any], kind: type[Row | Series]) -> dict[str, Any]:
    """The fields of a kind, lists as tuples."""
    known = {name: value for name, value in given.items() if name in kind.__dataclass_fields__}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}


def shown(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def middle(values: tuple[float, ...]) -> float | None:
    """The median; None of nothing."""
    return statistics.median(values) if values else None
