"""What a comparison has found: rows over seeds, as JSON, as a Markdown table and in a sentence."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adapterbot.evaluation.comparison.budget import Unreachable, percent
from adapterbot.evaluation.comparison.cells import Cell
from adapterbot.evaluation.comparison.continual import Course
from adapterbot.evaluation.tables import Grid
from adapterbot.home import written_by_rename

FULL = "full"
SIZE = 26  # characters of an adapter's settings at most
NEAR = 0.01  # Houlsby et al. 2019: adapters come within so much of full tuning
WORTH = ("skill", "type", "budget", "share", "bits/byte", "perplexity", "full's gain")
COST = ("skill", "type", "budget", "size", "MB", "training MB", "tokens/s", "decoding")
WORTH_NOTE = (
    "Bits per byte and perplexity of validation replies, ± the standard deviation over seeds; bare: the backbone "
    "alone. share: parameters in the adapter's file over the backbone's. full's gain: how much of what a tuned copy "
    "gains over the bare backbone."
)
ENDS = ("method", "kept", "updates", "mean", "forgotten")
STAGES_NOTE = "Bits per byte of validation replies of each skill (across) after each stage; bare: the backbone alone."
ENDS_NOTE = (
    "kept: weights to keep for all skills, for adapters beside the backbone, else in its place. mean: bits per "
    "byte over all skills after the last stage. forgotten: how much worse those before the last are than when learnt."
)
COST_NOTE = (
    "MB: memory where it answers. training MB: weights, gradients, moments and kept states of one update, beside the "
    "backbone. tokens/s: of training. decoding: tokens a second over the bare backbone's, both taking turns."
)


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one type, skill and budget over all seeds, at the learning rate that is best on average."""

    cells: tuple[Cell, ...]

    @property
    def first(self) -> Cell:
        """The cell of the first seed: what is the same for all."""
        return self.cells[0]

    @property
    def name(self) -> tuple[str, str, float | None]:
        """Skill, type and budget."""
        return self.first.skill, self.first.type, self.first.budget

    def mean(self, of: Callable[[Cell], float]) -> float:
        """Over the seeds."""
        return statistics.fmean(map(of, self.cells))

    @property
    def bits(self) -> float:
        """Bits per byte, the mean over seeds."""
        return self.mean(lambda cell: cell.bits_per_byte)

    @property
    def spread(self) -> float | None:
        """The standard deviation of the bits per byte over seeds; None of a single one."""
        return statistics.stdev(cell.bits_per_byte for cell in self.cells) if len(self.cells) > 1 else None


@dataclass(slots=True)
class Comparison:
    """One comparison, or what there is of it. `about` says on what it was made."""

    about: Mapping[str, Any]
    cells: list[Cell] = field(default_factory=list)
    unreachable: Sequence[Unreachable] = ()
    courses: list[Course] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """The cells by skill, type and budget, in the order in which they were made."""
        groups: dict[tuple[str, str, float | None], dict[float, list[Cell]]] = {}
        for cell in self.cells:
            groups.setdefault((cell.skill, cell.type, cell.budget), {}).setdefault(cell.rate, []).append(cell)
        best = (min(map(Row, map(tuple, of.values())), key=lambda row: row.bits) for of in groups.values())
        return sorted(best, key=lambda row: self.skills.index(row.first.skill))

    @property
    def skills(self) -> list[str]:
        """Their names, in order."""
        return list(dict.fromkeys(cell.skill for cell in self.cells))

    def full(self, skill: str) -> Row | None:
        """The row of the tuned copy."""
        return next((row for row in self.rows if row.name[:2] == (skill, FULL)), None)

    def gain(self, row: Row) -> float | None:
        """How much of what the tuned copy gains over the bare backbone, in bits per byte, an adapter gains.

        None where there is no tuned copy, or it gains nothing.
        """
        full = self.full(row.first.skill)
        if full is None or full.bits >= full.first.bare_bits_per_byte:
            return None
        bare = full.first.bare_bits_per_byte
        return (bare - row.bits) / (bare - full.bits)

    def write(self, path: Path) -> None:
        """As JSON, by rename."""
        content = asdict(self) | {"rows": [_plain(row, self.gain(row)) for row in self.rows]}
        with written_by_rename(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def grids(self) -> tuple[Grid, Grid]:
        """What adapters are worth, each skill's after the bare backbone, and what they cost."""
        worth = list[tuple[str, ...]]()
        for skill in self.skills:
            of_skill = [row for row in self.rows if row.first.skill == skill]
            bare = of_skill[0].first
            figures = (f"{bare.bare_bits_per_byte:.4f}", f"{bare.bare_perplexity:.2f}")
            worth.append((skill, "bare", "", "0%", *figures, ""))
            worth += [self._worth(row) for row in of_skill]
        return (
            Grid("What adapters are worth", WORTH_NOTE, WORTH, tuple(worth), 2, SIZE),
            Grid("What they cost", COST_NOTE, COST, tuple(map(_cost, self.rows)), 2, SIZE),
        )

    def _worth(self, row: Row) -> tuple[str, ...]:
        gain, spread = self.gain(row), row.spread
        return (
            *_head(row),
            f"{row.first.share:.2%}",
            f"{row.bits:.4f}" + ("" if spread is None else f" ± {spread:.4f}"),
            f"{row.mean(lambda one: one.perplexity):.2f}",
            "" if gain is None else f"{gain:.0%}",
        )

    def course_grids(self) -> tuple[Grid, Grid]:
        """Bits per byte of each skill after each stage, by method, and what that comes to; means over seeds."""
        methods = list(dict.fromkeys(course.method for course in self.courses))
        first = self.courses[0]
        names = first.skills
        stages = [("bare", "", *(f"{bits:.4f}" for bits in first.bare))]
        ends = list[tuple[str, ...]]()
        for method in methods:
            courses = [course for course in self.courses if course.method == method]
            for stage, name in enumerate(names):
                means = (statistics.fmean(course.bits[stage][i] for course in courses) for i in range(len(names)))
                stages.append((method, name, *(f"{mean:.4f}" for mean in means)))
            mean, forgotten = (statistics.fmean(getattr(c, of) for c in courses) for of in ("mean", "forgotten"))
            kept, steps = courses[0].parameters, sum(courses[0].steps)
            ends.append((method, f"{kept / 1e6:.2f}M", f"{steps:,}", f"{mean:.4f}", f"{forgotten:+.4f}"))
        return (
            Grid("Skills one after the other", STAGES_NOTE, ("method", "after", *names), tuple(stages), 2, SIZE),
            Grid("At the end", ENDS_NOTE, ENDS, tuple(ends), 1, SIZE),
        )

    def verdicts(self) -> list[str]:
        """Of each skill with a tuned copy, which adapters come within NEAR of it, or that none does."""
        said = []
        for skill in self.skills:
            full = self.full(skill)
            others = [row for row in self.rows if row.first.skill == skill and row.first.type != FULL]
            if full is None or not others:
                continue
            near = [row for row in others if row.bits <= (1 + NEAR) * full.bits]
            if near:
                least = min(near, key=lambda row: row.first.share)
                found = f"the smallest adapter within {NEAR:.0%} of full tuning's bits per byte is {_named(least)}"
            else:
                best = min(others, key=lambda row: row.bits)
                found = (
                    f"no adapter here comes within {NEAR:.0%} of full tuning's bits per byte; the nearest, "
                    f"{_named(best)}, is {best.bits / full.bits - 1:.1%} above it"
                )
            said.append(f"{skill}: {found}.")
        return said

    @property
    def told(self) -> str:
        """On what it was made, in a sentence."""
        about = self.about
        seeds = ", ".join(map(str, about["seeds"]))
        data = "; ".join(f"{skill} on {origin}" for skill, origin in about["data"].items())
        tokens = "as skill.toml says" if about["tokens"] is None else f"{about['tokens']:,} tokens each"
        return (
            f"{about['when']}, {about['device']}; {about['backbone']}, {about['parameters'] / 1e6:.1f} million "
            f"parameters; {data}; {tokens}; seeds {seeds}."
        )


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _head(row: Row) -> tuple[str, str, str]:
    skill, type, budget = row.name
    return skill, type, "" if budget is None else percent(budget)


def _cost(row: Row) -> tuple[str, ...]:
    cell = row.first
    return (
        *_head(row),
        cell.settings.partition(", ")[2],
        f"{cell.memory / 1e6:.2f}",
        f"{cell.training_memory / 1e6:,.0f}",
        f"{row.mean(lambda one: one.training_rate):,.0f}",
        f"{row.mean(lambda one: one.decoding_ratio):.2f}",
    )


def _named(row: Row) -> str:
    return f"{row.first.settings} ({row.first.share:.2%} of the parameters)"


def _plain(row: Row, gain: float | None) -> dict[str, Any]:
    skill, type, budget = row.name
    figures = {"bits_per_byte": row.bits, "spread": row.spread, "share_of_full_gain": gain, "seeds": len(row.cells)}
    return {"skill": skill, "type": type, "budget": budget, "rate": row.first.rate, **figures}
