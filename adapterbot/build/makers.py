"""What each step of a build does: it makes one model, or writes one page, and returns its figures.

Imports stand in the functions: a plan loads no torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterbot.build.ledger import Figures, Step
from adapterbot.build.readme import measured_grounding, write_figures
from adapterbot.build.steps import ENCODER, MANAGER, RANK_HEADS, BuildRun
from adapterbot.home import written_by_rename
from adapterbot.training.card import card_figures, fill

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.network.backbone import Backbone

FiguresOf = Mapping[str, Figures]  # by step
SPEED = "seconds_per_reply"  # says more of the machine than of the skill
JUDGED = ("accuracy", "macro_f1", "calibration_error")
MEASURED_APART = ("understanding",)  # by `evaluate`, on data that a build has not


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
        "judge": _judge,
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


def _judge(run: BuildRun, _: str, done: FiguresOf) -> Figures:
    from adapterbot.manager.encoder import minilm
    from adapterbot.manager.training.judge import JudgeTraining, train_judge

    assert run.pairs is not None, "see BuildRun.steps"
    settings = JudgeTraining(seed=run.recipe.manager.seed)
    report = train_judge(run.pairs, minilm(), run.folder.weights, settings, lambda done, total, loss: None)
    return {f"{name}_{key}": round(of[key], 4) for name, of in report.items() for key in ("accuracy", "macro_f1")}


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
    before = json.loads(run.folder.report.read_text(encoding="utf-8")) if run.folder.report.is_file() else {}
    report |= {key: before[key] for key in MEASURED_APART if key in before}
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
