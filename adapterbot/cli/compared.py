"""What `adapterbot compare` does once a request makes sense: it makes what is not done yet, and shows and keeps all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from adapterbot.cli.console import console
from adapterbot.cli.output import say, warn
from adapterbot.home import Home

if TYPE_CHECKING:
    from adapterbot.evaluation.comparison.cells import Bench, Job
    from adapterbot.evaluation.comparison.continual import Stages, Wish
    from adapterbot.evaluation.comparison.plan import Plan
    from adapterbot.evaluation.comparison.report import Comparison


@dataclass(frozen=True, slots=True)
class Files:
    """Where figures are written to, beside the terminal."""

    json: Path | None
    page: Path | None


def compare_types(plan: Plan, backbone_name: str | None, files: Files) -> None:
    """Train and judge every cell that is not done yet, and show all; Ctrl-C keeps what is done by then."""
    home = Home.at()
    from adapterbot.evaluation.comparison.cells import Bench, CellStore
    from adapterbot.evaluation.comparison.report import Comparison
    from adapterbot.network.backbone import load_backbone
    from adapterbot.network.device import training_type

    backbone = load_backbone(backbone_name, dtype=training_type(), home=home)
    sizings, unreachable = plan.sizings(backbone)
    corpora = plan.corpora()
    found = Comparison(plan.about(backbone, corpora), unreachable=unreachable)
    jobs = plan.jobs(sizings, corpora)
    store = CellStore(home)
    done = sum(store.cell(job, backbone) is not None for job in jobs)
    _begin(found, len(jobs), done)
    answering = load_backbone(backbone_name, home=home, announce=warn)
    try:
        _make(Bench(backbone, answering, home), jobs, found, files)
    finally:
        if found.cells:
            show(found)
            _keep(found, files)


def compare_courses(plan: Plan, backbone_name: str | None, files: Files) -> None:
    """Learn the skills in their order by every method that is not done yet, and show all; Ctrl-C keeps what is done."""
    home = Home.at()
    import torch

    from adapterbot.evaluation.comparison.continual import Stages
    from adapterbot.evaluation.comparison.report import Comparison
    from adapterbot.network.backbone import load_backbone

    backbone = load_backbone(backbone_name, dtype=torch.float32, home=home)
    sizings, unreachable = plan.sizings(backbone)
    corpora = plan.corpora()
    found = Comparison(plan.about(backbone, corpora), unreachable=unreachable)
    stages = Stages(backbone, home, plan.specs, corpora, plan.tokens)
    wishes = plan.wishes(sizings)
    _begin(found, len(wishes), sum(stages.done(wish) is not None for wish in wishes))
    try:
        _learn(stages, wishes, found, files)
    finally:
        if found.courses:
            show(found)
            _keep(found, files)


def _begin(found: Comparison, count: int, done: int) -> None:
    """What is to be made, and what cannot be."""
    for none in found.unreachable:
        say(none.told)
    say(f"{count} cells, {done} of them done before; {found.told}")


def _learn(stages: Stages, wishes: list[Wish], found: Comparison, files: Files) -> None:
    """Add course by course to what is found, with a bar over courses and one over the updates of the running stage."""
    with _bar() as bar:
        courses, updates = bar.add_task("cells", total=len(wishes)), bar.add_task("", total=None)

        def begin(wish: Wish) -> None:
            name = f"{wish.name}, seed {wish.seed}"
            stages.note = lambda skill: bar.reset(updates, total=None, description=f"{name}: {skill}")

        stages.advance = lambda step, total: bar.update(updates, completed=step, total=total)
        for course in stages.courses(wishes, begin):
            found.courses.append(course)
            bar.advance(courses)
            if files.json is not None:
                found.write(files.json)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


def _make(bench: Bench, jobs: list[Job], found: Comparison, files: Files) -> None:
    """Add cell by cell to what is found, with a bar over cells and one over the updates of the running one."""
    with _bar() as bar:
        cells, updates = bar.add_task("cells", total=len(jobs)), bar.add_task("", total=None)

        def begin(job: Job) -> None:
            name = f"{job.spec.name}, {job.sizing.table.told}, seed {job.seed}"
            bar.reset(updates, total=None, description=name)
            bench.note = lambda part: bar.update(updates, description=f"{name}: {part}")

        bench.advance = lambda step, total: bar.update(updates, completed=step, total=total)
        for cell in bench.cells(jobs, begin):
            found.cells.append(cell)
            bar.advance(cells)
            if files.json is not None:
                found.write(files.json)


def show(found: Comparison) -> None:
    """The tables, and how far from full tuning adapters are."""
    from adapterbot.evaluation.tables import as_rich

    for grid in (*(found.grids() if found.cells else ()), *(found.course_grids() if found.courses else ())):
        console.print(as_rich(grid))
        console.print(f"{grid.note}\n", style="dim")
    for verdict in found.verdicts():
        say(verdict)


def _keep(found: Comparison, files: Files) -> None:
    """JSON and page, where they are asked for."""
    if files.json is not None:
        found.write(files.json)
        say(f"written: {files.json}")
    if files.page is not None:
        from adapterbot.evaluation.comparison.page import write_page

        for path in write_page(files.page, found):
            say(f"written: {path}")
