"""`adapterbot build`: every model from one recipe and a folder of corpora; what is up to date stays as it is.

The plan is made from content hashes (see `ledger`) and printed first. A build that was stopped goes on where it was:
steps that ended are remembered, and each training goes on from its own checkpoint.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from adapterbot.build.ledger import BuildFolder, Figures, Ledger, Step
from adapterbot.build.readme import measured_grounding, write_figures
from adapterbot.build.steps import ENCODER, MANAGER, RANK_HEADS, BuildRun
from adapterbot.errors import AdapterbotError, MissingPartError
from adapterbot.home import DATA, Home, written_by_rename
from adapterbot.network.names import wanted_backbone
from adapterbot.training.card import card_figures, fill
from adapterbot.training.recipe import Recipe

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.network.backbone import Backbone

FiguresOf = Mapping[str, Figures]  # by step
SPEED = "seconds_per_reply"  # says more of the machine than of the skill
JUDGED = ("accuracy", "macro_f1", "calibration_error")


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
    dry_run: bool = False,
    jobs: int = 1,
    announce: Callable[[str], None] = lambda _: None,
    home: Home,
) -> BuildResult:
    """Make all models of `recipe` from the corpora in `data` and write them into `root`, as a checkout has them.

    Adapters are made for `backbone` (None: the default one). Without `root` that is this installation. `dry_run` only
    announces the plan. `jobs` skills are trained at a time. Checkpoints go to the user's `home`.

    Raises:
        DataError: no corpora in `data`, or one that a skill learns from is missing.
        UnknownNameError, SpecError: the recipe names a skill that does not exist or has no adapter.
        MissingPartError: a library that a step needs is not installed, or the backbone is not here.
        AdapterbotError: `root` or `home` cannot be written, or a training fails; what was made before stays.
    """
    folder = BuildFolder((root or DATA.parent).expanduser().absolute(), home)
    run = BuildRun.at(data.expanduser(), recipe, folder, wanted_backbone(backbone), announce)
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


# What each step does: it makes one model, or writes one page, and returns its figures. Imports stand in the functions:
# a plan loads no torch.


def make(run: BuildRun, step: Step, done: FiguresOf) -> Figures:
    """Make what `step` stands for; `done` are the figures of the steps before it.

    Raises:
        AdapterbotError: what the training of that kind raises; nothing half-made is left in its folder.
    """
    makers: dict[str, Callable[[BuildRun, str, FiguresOf], Figures]] = {
        "skill": _skill,
        "rank heads": _rank_heads,
        "encoder": _encoder,
        "manager": _manager,
        "cards": _cards,
        "report": _report,
    }
    return makers[step.kind](run, step.subject, done)


def _skill(run: BuildRun, name: str, done: FiguresOf) -> Figures:
    from adapterbot.training.corpus import Corpus
    from adapterbot.training.skill import train_skill

    spec = run.specs[name]

    def announce(corpus: Corpus, rows: int, tokens: int) -> None:
        run.announce(f"{corpus.origin}: {len(corpus.train):,} dialogues, {rows:,} windows, {tokens:,} tokens")

    made = train_skill(
        spec,
        _model(run),
        home=run.folder,
        data=run.source(spec),
        epochs=run.epochs(spec),
        out=run.folder.skills,
        announce=announce,
    )
    run.announce(f"perplexity on validation replies {made.before:.2f} before, {made.after:.2f} after")
    return {"perplexity_before": round(made.before, 3), "perplexity_after": round(made.after, 3), "epochs": made.epochs}


def _rank_heads(run: BuildRun, _: str, done: FiguresOf) -> Figures:
    from adapterbot.manager.encoder import minilm
    from adapterbot.training.style_heads import train_heads

    seed = run.recipe.manager.seed
    return dict(train_heads(minilm(), run.data, run.folder.weights, seed=seed, announce=run.announce))


def _encoder(run: BuildRun, _: str, done: FiguresOf) -> Figures:
    from adapterbot.manager.encoder import minilm
    from adapterbot.manager.training.encoder import CHECKPOINT, EncoderTraining, train_encoder

    manager = run.recipe.manager
    return train_encoder(
        run.specs,
        corpora=run.data,
        base=minilm(),
        out=run.folder.weights,
        training=run.folder.training / CHECKPOINT,
        settings=EncoderTraining(manager.steps, manager.seed, manager.messages, manager.replies),
    )


def _manager(run: BuildRun, _: str, done: FiguresOf) -> Figures:
    from adapterbot.manager.encoder import DIALOGUE, load_encoder
    from adapterbot.manager.training.classifier import ClassifierTraining, train_manager

    manager = run.recipe.manager
    report = train_manager(
        run.specs,
        corpora=run.data,
        encoder=load_encoder(DIALOGUE, run.folder.weights),
        out=run.folder.weights,
        settings=ClassifierTraining(manager.seed, manager.heads, manager.head_steps, manager.cleaning_steps),
        judge=run.folder.judge,
    )
    judged = {f"judged_{key}": report["judged"][key] for key in JUDGED[:2]} if "judged" in report else {}
    return {key: report[key] for key in JUDGED} | judged


def _cards(run: BuildRun, _: str, done: FiguresOf) -> Figures:
    """Put the figures of the report into the cards of the skills, and into README.md."""
    report = json.loads(run.folder.report.read_text(encoding="utf-8"))
    for name, spec in run.trained.items():
        fill(run.folder.skills / name / "README.md", name, card_figures(spec, report[name]["said"], report[name]))
    write_figures(run.folder.readme, report, done, measured_grounding(run.folder))
    return {}


def _report(run: BuildRun, _: str, done: FiguresOf) -> Figures:
    """Score everything as `adapterbot evaluate` does, and write that and the other steps' figures to one file."""
    from adapterbot.bot import Bot
    from adapterbot.evaluation.skill import evaluate_skill
    from adapterbot.evaluation.styles import evaluate_styles
    from adapterbot.network.backbone import load_backbone
    from adapterbot.training.corpus import load_corpus

    most = run.recipe.report.most
    model = load_backbone(run.backbone, home=run.folder.user, announce=run.announce)  # as it answers
    bot = Bot(model, replace(run.folder, used=run.folder.weights), log=False)
    about = {"name": model.name, "fingerprint": model.fingerprint, "parameters": model.parameter_count}
    report: dict[str, Figures] = {"backbone": about}
    for name in sorted(run.trained):
        spec = bot.roster.spec(name)
        corpus = load_corpus(run.specs[name], run.source(run.specs[name]))
        made = evaluate_skill(spec, bot.responder, corpus.valid, most=most)
        said = [(m, bot.respond(m, skill=name, seed=i).text) for i, m in enumerate(spec.sample_messages)]
        report[name] = {"data": corpus.origin, **made.figures, "said": said}
        report[name].pop(SPEED)
        run.announce(f"{name}: perplexity {made.figures['perplexity']:.2f}, F1 {made.figures['f1']:.1f}")
    for name, success in evaluate_styles(bot, run.data, list(run.trained), most=most).items():
        report[name] |= {f"style success, {way}": value for way, value in success.items()}
    report |= {"rank heads": done[RANK_HEADS]} if RANK_HEADS in done else {}
    report |= {"ranker": done[ENCODER], "manager": done[MANAGER]}
    report |= {"safety": _safety(run, bot, run.folder.labelled_care)} if run.folder.labelled_care else {}
    with written_by_rename(run.folder.report) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return {}


def _safety(run: BuildRun, bot: Bot, labelled: Path) -> Figures:
    """How labelled messages are answered, false alarms, and flagged replies, as `evaluate safety` has them."""
    from adapterbot.evaluation.safety import evaluate_safety
    from adapterbot.manager.training.care_lines import read_messages

    most, messages = run.recipe.report.most, read_messages(labelled)
    found = evaluate_safety(bot, messages, run.data, most=most, seed=0, advance=lambda done, total: None)
    return {key: found[key] for key in ("confusion", "ordinary", "bench")}


def _model(run: BuildRun) -> Backbone:
    """The backbone that adapters are made for, as it is trained through."""
    from adapterbot.network.backbone import load_backbone
    from adapterbot.network.device import training_type

    return load_backbone(run.backbone, dtype=training_type(), home=run.folder.user)
