"""A part of a README that carries a comparison, between marks, with its pictures beside it."""

from __future__ import annotations

from pathlib import Path

from adapterbot.evaluation.comparison.pictures import draw_ablation, draw_pareto, draw_stages
from adapterbot.evaluation.comparison.report import Comparison, markdown
from adapterbot.evaluation.tables import Grid
from adapterbot.training.card import fill

PAGE = "README.md"
PARETO, ABLATION, STAGES = "pareto.svg", "ablation.svg", "stages.svg"
ADAPTERS = (
    "<!-- adapters compared: `adapterbot compare` writes from here -->",
    "<!-- adapters compared: to here -->",
)
CONTINUAL = (
    "<!-- continual learning: `adapterbot compare --continual` writes from here -->",
    "<!-- continual learning: to here -->",
)
SPANS = (
    "What it costs to take the trained adapters of a span of layers out, as in Houlsby et al. 2019, figure 6; nothing "
    "is trained again:"
)


def write_page(folder: Path, found: Comparison) -> list[Path]:
    """Write what was found into the folder's page and draw its pictures; returns the files that were written.

    Raises:
        DataError: the page has the first mark of a part without the second.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / PAGE]
    if found.cells:
        draw_pareto(found, folder / PARETO)
        written.append(folder / PARETO)
        parts = [
            found.told,
            *map(_table, found.grids()),
            *found.verdicts(),
            f"![Share of the parameters and bits per byte]({PARETO})",
        ]
        parts += [f"{none.told}." for none in found.unreachable]
        if any(cell.ablation is not None for cell in found.cells):
            draw_ablation(found, folder / ABLATION)
            written.append(folder / ABLATION)
            parts += [SPANS, f"![Bits per byte without the adapters of a span of layers]({ABLATION})"]
        fill(folder / PAGE, "Adapters compared", "\n\n".join(parts), ADAPTERS)
    if found.courses:
        draw_stages(found, folder / STAGES)
        written.append(folder / STAGES)
        picture = f"![Bits per byte of {found.courses[0].skills[0]} after each stage]({STAGES})"
        parts = [found.told, *map(_table, found.course_grids()), picture]
        fill(folder / PAGE, "Skills one after the other", "\n\n".join(parts), CONTINUAL)
    return written


def _table(grid: Grid) -> str:
    return f"{markdown(grid.head, grid.rows)}\n\n{grid.note}"
