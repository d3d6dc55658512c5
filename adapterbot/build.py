"""`adapterbot build`: every model from one recipe and a folder of corpora; what is up to date stays as it is.

The plan is made from content hashes (see `records`) and printed first. A build that was stopped goes on where it was:
steps that ended are remembered, and each training goes on from its own checkpoint.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapterbot.data import DATA
from adapterbot.errors import AdapterbotError, MissingPartError
from adapterbot.home import Home
from adapterbot.recipe import Recipe
from adapterbot.records import Records, Stage
from adapterbot.stages import Job, Workshop


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
    announce: Callable[[str], None] = lambda _: None,
    home: Home,
) -> Built:
    """Make all models of `recipe` from the corpora in `data` and write them into `root`, as a checkout has them.

    Without `root` that is this installation. `dry_run` only announces the plan. Checkpoints go to the user's `home`.

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
    made = tuple(_make(job, stages, records))
    announce(f"made {len(made)} of {len(stages)} steps; the others were up to date")
    return Built(place.root, plan, made)


def _line(stage: Stage, why: str) -> str:
    """One step of the plan."""
    budget = f", {stage.budget}" if stage.budget else ""
    return f"  {stage.name:<34} {f'to make ({why}){budget}' if why else 'up to date'}"


def _make(job: Job, stages: Iterable[Stage], records: Records) -> Iterable[str]:
    """Make in order what is not up to date by then; yields the names. Each step is remembered once it has ended."""
    from adapterbot.making import make

    for stage in stages:
        why = records.why(stage)
        if why:
            job.announce(f"making {stage.name}: {why}")
            records.note(stage, make(job, stage, records.figures))
            yield stage.name


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
