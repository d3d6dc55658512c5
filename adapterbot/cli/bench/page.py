"""The pages that carry a run's figures: benchmarks/README.md, its chart, and a few lines of README.md."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from adapterbot.cli.bench.results import Report, Row, Series, middle, shown
from adapterbot.errors import AdapterbotError
from adapterbot.evaluation.comparison.pictures import save_svg
from adapterbot.home import written_by_rename

BEGIN, END = "<!-- bench: `adapterbot bench` writes from here -->", "<!-- bench: to here -->"
PAGE, CHART, FRONT = "README.md", "chart.svg", "README.md"
WIDTH = 8.0  # inches
DRAWN = ("smollm2", "gpt2", "training")  # parts beside other libraries


def write_page(folder: Path, report: Report) -> list[Path]:
    """Write the figures into the folder's page, and into README.md of the folder above where it has the marks; returns
    the files that were written.

    Raises:
        AdapterbotError: it was a quick run.
    """
    if report.quick:
        raise AdapterbotError("the report is of a quick run, whose figures mean nothing: no page is made of it")
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / PAGE]
    _put(folder / PAGE, figures(report), "# Benchmarks\n")
    if report.rows and importlib.util.find_spec("matplotlib") is not None:
        draw(folder / CHART, report)
        written.append(folder / CHART)
    front = folder.absolute().parent / FRONT
    if front.is_file() and BEGIN in front.read_text(encoding="utf-8"):
        _put(front, front_figures(report), "")
        written.append(front)
    return written


def figures(report: Report) -> str:
    """Markdown of all that was measured."""
    held = [row for row in report.rows if row.target]
    reached = sum(row.reached is True for row in held)
    parts = [
        f"{about(report)} Of {len(held)} targets {reached} are reached.",
        "![Ours over theirs, row by row, and how cost grows](chart.svg)",
        "### Held to targets",
        _table(held),
    ]
    others = [row for row in report.rows if not row.target]
    if others:
        parts += ["### For comparison", _table(others)]
    if report.series:
        parts += ["### How cost grows", *(_series(one) for one in report.series)]
    return "\n\n".join(parts)


def front_figures(report: Report) -> str:
    """What README.md shows of it: the rows beside other libraries that are held to targets."""
    held = [row for row in report.rows if row.target and row.against and row.value is not None]
    chart = "![Speed beside other libraries, and how cost grows](benchmarks/chart.svg)"
    return "\n\n".join([about(report), _table(held), chart])


def about(report: Report) -> str:
    """Where and with what it was measured."""
    machine: Any = report.machine
    threads = machine["threads"]
    extensions = [name.upper() for name in ("avx512", "vnni") if machine[name]]
    of_it = f" with {' and '.join(extensions)}" if extensions else " without AVX-512 and VNNI"
    sides = f"{_count(threads['smollm2'], 'thread')} for each side on SmolLM2, {threads['gpt2']} on GPT-2's shape"
    versions = ", ".join(f"{name} {found}" for name, found in machine["versions"].items())
    stopped = " The run was stopped before its end." if report.stopped else ""
    processor = f"{machine['processor']}, {_count(machine['cores'], 'core')}{of_it}"
    return f"{machine['when']}, {processor}; {sides}; {versions}.{stopped}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _table(rows: list[Row]) -> str:
    head = ("measure", "unit", "ours", "beside", "theirs", "ratio", "target", "")
    lines = [head, tuple("---" for _ in head)]
    for row in rows:
        theirs = shown(middle(row.theirs)) if row.against else ""
        ratio = shown(row.value) if row.against else ""
        lines.append((row.name, row.unit, shown(middle(row.ours)), row.against, theirs, ratio, row.target, row.verdict))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _series(series: Series) -> str:
    head = f"| {series.along} | {' | '.join(map(str, series.x))} |"
    rule = f"|{'---|' * (len(series.x) + 1)}"
    values = f"| {series.unit} | {' | '.join(map(shown, series.y))} |"
    return f"{series.name[0].upper()}{series.name[1:]}:\n\n{head}\n{rule}\n{values}"


def _put(page: Path, text: str, title: str) -> None:
    """Put Markdown between the marks of a page, by rename; a page without marks gets them at its end."""
    before = page.read_text(encoding="utf-8") if page.is_file() else title
    if BEGIN not in before or END not in before:
        before = f"{before.rstrip()}\n\n## Speed\n\n{BEGIN}\n{END}\n"
    head, _, rest = before.partition(BEGIN)
    with written_by_rename(page) as temporary:
        temporary.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def draw(path: Path, report: Report) -> None:
    """Rows beside other libraries as bars of their ratios, and series as lines, by rename."""
    from matplotlib.figure import Figure

    rows = [row for row in report.rows if row.against and row.value is not None and row.part in DRAWN]
    series = report.series
    lines = -(-len(series) // 2)
    figure = Figure(figsize=(WIDTH, 1.0 + 0.32 * len(rows) + 2.4 * lines), layout="constrained")
    grid = figure.add_gridspec(1 + lines, 2, height_ratios=[1.0 + 0.32 * len(rows), *[2.4] * lines])
    _bars(figure.add_subplot(grid[0, :]), rows)
    for i, one in enumerate(series):
        axes = figure.add_subplot(grid[1 + i // 2, i % 2])
        axes.plot(range(len(one.x)), one.y, marker="o", color="tab:blue")
        axes.set_xticks(range(len(one.x)), [str(x) for x in one.x])
        axes.set_title(one.name, fontsize="small")
        axes.set_xlabel(one.along, fontsize="small")
        axes.set_ylabel(one.unit, fontsize="small")
        axes.set_ylim(bottom=0)
    save_svg(figure, path, "bench")


def _bars(axes: Any, rows: list[Row]) -> None:
    """How many times as fast ours is, and as far as it should be."""
    places = list(range(len(rows)))[::-1]
    values = [row.value for row in rows]
    axes.barh(places, values, color=["tab:orange" if row.reached is False else "tab:blue" for row in rows])
    for place, row in zip(places, rows, strict=True):
        if row.at_least is not None:
            axes.plot([row.at_least] * 2, [place - 0.45, place + 0.45], color="black")
    axes.axvline(1.0, color="gray", linewidth=0.8)
    axes.set_yticks(places, [f"{row.name}\nbeside {row.against}" for row in rows], fontsize="xx-small")
    axes.set_title("times as fast as (black: the target)", fontsize="small")
