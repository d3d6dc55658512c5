"""`adapterbot build`: every model from one recipe and a folder of corpora; what is up to date stays as it is.

The plan is made from content hashes (see `records`) and printed first. A build that was stopped goes on where it was:
steps that ended are remembered, and each training goes on from its own checkpoint.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from adapterbot.build.folders import Workshop
from adapterbot.build.ledger import Figures, Records, Stage
from adapterbot.build.steps import Job
from adapterbot.errors import AdapterbotError, MissingPartError
from adapterbot.home import DATA, Home
from adapterbot.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Built:
    """`plan`: why each step had to be made, empty for one that was up to date; `made`: the steps made now, in order."""

    root: Path
    plan: Mapping[str, str]
    made: tuple[str, ...]


def build(
    data: Path,
    *,
    recipe: Recipe,
    root: Path | None = None,
    dry_run: bool = False,
    jobs: int = 1,
    announce: Callable[[str], None] = lambda _: None,
    home: Home,
) -> Built:
    """Make all models of `recipe` from the corpora in `data` and write them into `root`, as a checkout has them.

    Without `root` that is this installation. `dry_run` only announces the plan. `jobs` skills are trained at a time.
    Checkpoints go to the user's `home`.

    Raises:
        DataError: no corpora in `data`, or one that a skill learns from is missing.
        UnknownNameError, SpecError: the recipe names a skill that does not exist or has no adapter.
        MissingPartError: a library that a step needs is not installed.
        AdapterbotError: `root` or `home` cannot be written, or a training fails; what was made before stays.
    """
    place = Workshop((root or DATA.parent).expanduser().absolute(), home)
    job = Job.at(data.expanduser(), recipe, place, announce)
    stages = job.stages()
    records = Records(place.root / "data" / "models.json")
    plan = records.plan(stages)
    announce(f"plan for {place.root} from {len(job.corpora)} corpora in {data}:")
    for stage in stages:
        announce(_line(stage, plan[stage.name]))
    if dry_run or not any(plan.values()):
        return Built(place.root, plan, ())
    _check(place, [stage for stage in stages if plan[stage.name]])
    made = tuple(_make(job, stages, records, jobs))
    announce(f"made {len(made)} of {len(stages)} steps; the others were up to date")
    return Built(place.root, plan, made)


def _line(stage: Stage, why: str) -> str:
    """One step of the plan."""
    budget = f", {stage.budget}" if stage.budget else ""
    return f"  {stage.name:<34} {f'to make ({why}){budget}' if why else 'up to date'}"


def _make(job: Job, stages: Iterable[Stage], records: Records, jobs: int) -> Iterable[str]:
    """Make in order what is not up to date by then; yields the names. Each step is remembered once it has ended."""
    for kind, group in groupby(stages, key=lambda stage: stage.kind):
        if kind == "skill" and jobs > 1:  # skills do not build on each other
            made = _side_by_side(job, [stage for stage in group if records.why(stage)], jobs)
        else:
            made = _one_by_one(job, group, records)
        for stage, figures in made:
            records.note(stage, figures)
            yield stage.name


def _one_by_one(job: Job, stages: Iterable[Stage], records: Records) -> Iterator[tuple[Stage, Figures]]:
    from adapterbot.build.make import make

    for stage in stages:
        why = records.why(stage)
        if why:
            job.announce(f"making {stage.name}: {why}")
            yield stage, make(job, stage, records.figures)


def _side_by_side(job: Job, stages: Iterable[Stage], jobs: int) -> Iterator[tuple[Stage, Figures]]:
    """Several skills at a time, each in a process of its own with its share of the cores; as they are done.

    When this process is stopped the others are too; each goes on from its own checkpoint the next time.
    """
    waiting = {stage.subject: stage for stage in stages}
    if not waiting:
        return
    job.announce(f"making {len(waiting)} skills, {jobs} at a time: {', '.join(waiting)}")
    work = partial(_train, job.data, job.recipe, job.place, max(1, (os.cpu_count() or 1) // jobs))
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for name, figures in pool.imap_unordered(work, waiting):
            yield waiting[name], figures


def _train(data: Path, recipe: Recipe, place: Workshop, threads: int, name: str) -> tuple[str, Figures]:
    """One skill, in a process of its own."""
    import torch

    from adapterbot.build.make import make

    torch.set_num_threads(threads)
    job = Job.at(data, recipe, place, lambda text: print(f"{name}: {text}", flush=True))
    stage = next(stage for stage in job.stages() if stage.kind == "skill" and stage.subject == name)
    return name, make(job, stage, {})


def _check(place: Workshop, stages: Iterable[Stage]) -> None:
    """Raise now what would otherwise show after hours of work: a missing library, a folder that cannot be written."""
    needs = sorted({need for stage in stages for need in stage.needs})
    missing = [need for need in needs if importlib.util.find_spec(need) is None]
    if missing:
        raise MissingPartError(f"building needs {', '.join(missing)}: pip install 'adapterbot[train,encoder]'")
    by_root = dict.fromkeys((place.backbone, place.skills, place.weights), "give a folder of your own by --root")
    for folder, cure in {**by_root, place.training: "set ADAPTERBOT_HOME to a folder of your own"}.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise AdapterbotError(f"{folder} cannot be written ({error.strerror}); {cure}") from None
