"""The pictures of a comparison, as SVG: the same figures make the same file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterbot.evaluation.comparison.report import FULL, Comparison
from adapterbot.home import written_by_rename

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 8.0  # inches


def save_svg(figure: Figure, path: Path, salt: str) -> None:
    """Write a figure by rename, without a date; `salt` makes its identifiers the same every time."""
    import matplotlib as mpl

    same = mpl.rc_context({"svg.hashsalt": salt})
    with same, written_by_rename(path) as temporary, temporary.open("wb") as stream:
        figure.savefig(stream, format="svg", metadata={"Date": None})


def draw_pareto(found: Comparison, path: Path) -> None:
    """Share of the parameters against bits per byte: a picture for each skill, a line for each type."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 3.6 * len(found.skills)), layout="constrained")
    all_axes = figure.subplots(len(found.skills), 1, squeeze=False)[:, 0]
    types = list(dict.fromkeys(row.first.type for row in found.rows))
    for axes, skill in zip(all_axes, found.skills, strict=True):
        rows = [row for row in found.rows if row.first.skill == skill]
        for number, type in enumerate(types):
            of_type = sorted((row for row in rows if row.first.type == type), key=lambda row: row.first.share)
            if not of_type:
                continue
            style: dict[str, Any] = {"marker": "*", "markersize": 12} if type == FULL else {"marker": "o"}
            shares = [100 * row.first.share for row in of_type]
            errors = [row.spread or 0.0 for row in of_type]
            axes.errorbar(shares, [row.bits for row in of_type], errors, label=type, color=f"C{number}", **style)
        axes.axhline(rows[0].first.bare_bits_per_byte, color="gray", linestyle="--", label="bare backbone")
        axes.set_xscale("log")
        axes.set_title(skill, fontsize="medium")
        axes.set_xlabel("parameters, % of the backbone's")
        axes.set_ylabel("bits per byte")
        axes.legend(fontsize="x-small", ncols=2)
    save_svg(figure, path, "pareto")


def draw_ablation(found: Comparison, path: Path) -> None:
    """What bits per byte cost without the layers of a span: its first layer down, its last across."""
    from matplotlib.figure import Figure

    cells = [cell for cell in found.cells if cell.ablation is not None]
    figure = Figure(figsize=(WIDTH, 4.6 * len(cells)), layout="constrained")
    all_axes = figure.subplots(len(cells), 1, squeeze=False)[:, 0]
    for axes, cell in zip(all_axes, cells, strict=True):
        ablation = cell.ablation
        assert ablation is not None
        firsts = sorted({span.first for span in ablation.spans})
        lasts = sorted({span.last for span in ablation.spans})
        losses = [[float("nan")] * len(lasts) for _ in firsts]
        for span in ablation.spans:
            losses[firsts.index(span.first)][lasts.index(span.last)] = span.bits_per_byte - ablation.whole
        image = axes.imshow(losses, cmap="viridis")
        for i, line in enumerate(losses):
            for j, loss in enumerate(line):
                if loss == loss:
                    axes.text(j, i, f"{loss:.2f}", ha="center", va="center", fontsize="xx-small", color="white")
        axes.set_xticks(range(len(lasts)), [str(last) for last in lasts])
        axes.set_yticks(range(len(firsts)), [str(first) for first in firsts])
        axes.set_xlabel("last layer taken out")
        axes.set_ylabel("first layer taken out")
        axes.set_title(f"{cell.skill}, {cell.settings}: bits per byte more than with all layers", fontsize="small")
        figure.colorbar(image, ax=axes)
    save_svg(figure, path, "ablation")


def draw_stages(found: Comparison, path: Path) -> None:
    """The first skill's bits per byte after each stage, a line for each method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    axes = figure.subplots()
    skills = found.courses[0].skills
    for number, method in enumerate(dict.fromkeys(course.method for course in found.courses)):
        of_method = [course for course in found.courses if course.method == method]
        means = [sum(course.bits[stage][0] for course in of_method) / len(of_method) for stage in range(len(skills))]
        axes.plot(range(len(skills)), means, marker="o", label=method, color=f"C{number}")
    axes.axhline(found.courses[0].bare[0], color="gray", linestyle="--", label="bare backbone")
    axes.set_xticks(range(len(skills)), [f"after {skill}" for skill in skills])
    axes.set_ylabel(f"bits per byte of {skills[0]}")
    axes.legend(fontsize="small")
    save_svg(figure, path, "stages")
