"""`adapterbot build`: every model from one recipe and a folder of corpora; what is up to date stays as it is.

The plan is made from content hashes (see `ledger`) and printed first. A build that was stopped goes on where it was:
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

from adapterbot.build.ledger import BuildFolder, Figures, Ledger, Step
from adapterbot.build.makers import make
from adapterbot.build.steps import BuildRun
from adapterbot.errors import AdapterbotError, MissingPartError
from adapterbot.home import DATA, Home
from adapterbot.network.names import wanted_backbone
from adapterbot.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class BuildResult:
    """`plan`: why each step had to be made, empty for one that was up to date; `made`: the steps made now, in order."""

    root: Path
    plan: Mapping[str, str]
    made: tuple[str, ...]


def build(
    data: Path,
    *,
    recipe: Recipe,
    backbone: str | None = None,
    root: Path | None = None,
    pairs: Path | None = None,
    dry_run: bool = False,
    jobs: int = 1,
    announce: Callable[[str], None] = lambda _: None,
    home: Home,
) -> BuildResult:
    """Make all models of `recipe` from the corpora in `data` and write them into `root`, as a checkout has them.

    Adapters are made for `backbone` (None: the default one). Without `root` that is this installation. With `pairs`, a
    folder of labelled pairs, the judge is made too. `dry_run` only announces the plan. `jobs` skills are trained at a
    time. Checkpoints go to the user's `home`.

    Raises:
        DataError: no corpora in `data`, or one that a skill learns from is missing.
        UnknownNameError, SpecError: the recipe names a skill that does not exist or has no adapter.
        MissingPartError: a library that a step needs is not installed, or the backbone is not here.
        AdapterbotError: `root` or `home` cannot be written, or a training fails; what was made before stays.
    """
    folder = BuildFolder((root or DATA.parent).expanduser().absolute(), home)
    run = BuildRun.at(data.expanduser(), recipe, folder, wanted_backbone(backbone), announce, pairs)
    steps = run.steps()
    ledger = Ledger(folder.root / "data" / "models.json")
    plan = ledger.plan(steps)
    announce(f"plan for {folder.root} from {len(run.corpora)} corpora in {data}:")
    for step in steps:
        announce(_line(step, plan[step.name]))
    if dry_run or not any(plan.values()):
        return BuildResult(folder.root, plan, ())
    _check(folder, [step for step in steps if plan[step.name]])
    made = tuple(_make(run, steps, ledger, jobs))
    announce(f"made {len(made)} of {len(steps)} steps; the others were up to date")
    return BuildResult(folder.root, plan, made)


def _line(step: Step, why: str) -> str:
    """One step of the plan."""
    budget = f", {step.budget}" if step.budget else ""
    return f"  {step.name:<34} {f'to make ({why}){budget}' if why else 'up to date'}"


def _make(run: BuildRun, steps: Iterable[Step], ledger: Ledger, jobs: int) -> Iterable[str]:
    """Make in order what is not up to date by then; yields the names. Each step is remembered once it has ended."""
    for kind, group in groupby(steps, key=lambda step: step.kind):
        together = kind == "skill" and jobs > 1
        for wave in _waves(group) if together else [group]:
            made = _side_by_side(run, wave, ledger, jobs) if together else _one_by_one(run, wave, ledger)
            for step, figures in made:
                ledger.note(step, figures)
                yield step.name


def _waves(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Steps that do not build on each other, and then those that build on them, and so on."""
    left = list(steps)
    while left:
        names = {step.name for step in left}
        ready = [step for step in left if not names & {*step.after}]
        yield ready
        left = [step for step in left if step not in ready]


def _one_by_one(run: BuildRun, steps: Iterable[Step], ledger: Ledger) -> Iterator[tuple[Step, Figures]]:
    for step in steps:
        why = ledger.why(step)
        if why:
            run.announce(f"making {step.name}: {why}")
            yield step, make(run, step, ledger.figures)


def _side_by_side(run: BuildRun, steps: Iterable[Step], ledger: Ledger, jobs: int) -> Iterator[tuple[Step, Figures]]:
    """Several skills at a time, each in a process of its own with its share of the cores; as they are done.

    When this process is stopped the others are too; each goes on from its own checkpoint the next time.
    """
    waiting = {step.subject: step for step in steps if ledger.why(step)}
    if not waiting:
        return
    run.announce(f"making {len(waiting)} skills, {jobs} at a time: {', '.join(waiting)}")
    work = partial(_train, run.data, run.recipe, run.folder, run.backbone, max(1, (os.cpu_count() or 1) // jobs))
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for name, figures in pool.imap_unordered(work, waiting):
            yield waiting[name], figures


def _train(
    data: Path, recipe: Recipe, folder: BuildFolder, backbone: str, threads: int, name: str
) -> tuple[str, Figures]:
    """One skill, in a process of its own."""
    import torch

    torch.set_num_threads(threads)
    run = BuildRun.at(data, recipe, folder, backbone, lambda text: print(f"{name}: {text}", flush=True))
    step = next(step for step in run.steps() if step.kind == "skill" and step.subject == name)
    return name, make(run, step, {})


def _check(folder: BuildFolder, steps: Iterable[Step]) -> None:
    """Raise now what would otherwise show after hours of work: a missing library, a folder that cannot be written."""
    needs = sorted({need for step in steps for need in step.needs})
    missing = [need for need in needs if importlib.util.find_spec(need) is None]
    if missing:
        raise MissingPartError(f"building needs {', '.join(missing)}: pip install 'adapterbot[train]'")
    written = (folder.report.parent, folder.skills, folder.weights)
    by_root = dict.fromkeys(written, "give a folder of your own by --root")
    for path, cure in {**by_root, folder.training: "set ADAPTERBOT_HOME to a folder of your own"}.items():
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            raise AdapterbotError(f"{path} cannot be written ({error.strerror}); {cure}") from None
