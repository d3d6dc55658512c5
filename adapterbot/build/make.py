"""What each step of `adapterbot build` does: it makes one model, or writes one page, and returns its figures.

Whatever needs a backbone takes the one that this build has made, never the one that ships.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from adapterbot.bot import Bot
from adapterbot.build.ledger import Figures, Stage
from adapterbot.build.steps import BACKBONE, ENCODER, RANK_HEADS, Job
from adapterbot.evaluation.backbone import evaluate_backbone
from adapterbot.evaluation.skill import judge_skill
from adapterbot.evaluation.styles import evaluate_styles
from adapterbot.home import written_by_rename
from adapterbot.manager.encoder import BACKBONE as BACKBONE_ENCODER
from adapterbot.manager.encoder import DIALOGUE, load_encoder, minilm
from adapterbot.manager.training.classifier import ClassifierTraining, train_manager
from adapterbot.manager.training.encoder import CHECKPOINT, EncoderTraining, train_encoder
from adapterbot.network.backbone import Backbone, read_backbone
from adapterbot.network.device import on_fastest
from adapterbot.training.backbone import pretrain
from adapterbot.training.card import card_figures, fill, table
from adapterbot.training.corpus import Corpus, load_corpus
from adapterbot.training.skill import train_skill
from adapterbot.training.style_heads import train_heads

Done = Mapping[str, Figures]  # by step
TEXTS = {"prompts", "copy_failures"}  # of the backbone's judgement: what is no figure
SPEED = "seconds_per_reply"  # says more of the machine than of the skill
JUDGED = ("accuracy", "macro_f1", "calibration_error")


def make(job: Job, stage: Stage, done: Done) -> Figures:
    """Make what `stage` stands for; `done` are the figures of the steps before it.

    Raises:
        AdapterbotError: what the training of that kind raises; nothing half-made is left in its place.
    """
    makers: dict[str, Callable[[Job, str, Done], Figures]] = {
        "backbone": _backbone,
        "skill": _skill,
        "rank heads": _rank_heads,
        "encoder": _encoder,
        "manager": _manager,
        "cards": _cards,
        "report": _report,
    }
    return makers[stage.kind](job, stage.subject, done)


def _backbone(job: Job, _: str, done: Done) -> Figures:
    made = pretrain(job.data, job.place.backbone, job.recipe, announce=job.announce)
    return {"parameters": made.parameters, "tokens": made.tokens, "bits_per_byte": dict(made.bits_per_byte)}


def _skill(job: Job, name: str, done: Done) -> Figures:
    spec = job.specs[name]

    def announce(corpus: Corpus, rows: int, tokens: int) -> None:
        job.announce(f"{corpus.origin}: {len(corpus.train):,} dialogues, {rows:,} windows, {tokens:,} tokens")

    made = train_skill(
        spec,
        _model(job),
        home=job.place,
        data=job.source(spec),
        epochs=job.epochs(spec),
        out=job.place.skills,
        announce=announce,
    )
    job.announce(f"perplexity on validation replies {made.before:.2f} before, {made.after:.2f} after")
    return {"perplexity_before": round(made.before, 3), "perplexity_after": round(made.after, 3), "epochs": made.epochs}


def _rank_heads(job: Job, _: str, done: Done) -> Figures:
    seed = job.recipe.manager.seed
    model = _model(job)
    with on_fastest(model.decoder):
        return dict(train_heads(model, job.data, job.place.weights, seed=seed, announce=job.announce))


def _encoder(job: Job, _: str, done: Done) -> Figures:
    manager = job.recipe.manager
    return train_encoder(
        job.specs,
        corpora=job.data,
        base=minilm(),
        out=job.place.weights,
        training=job.place.training / CHECKPOINT,
        settings=EncoderTraining(manager.steps, manager.seed, manager.messages, manager.replies),
    )


def _manager(job: Job, name: str, done: Done) -> Figures:
    manager = job.recipe.manager
    report = train_manager(
        job.specs,
        corpora=job.data,
        encoder=load_encoder(name, None if name == DIALOGUE else _model(job), job.place.weights),
        out=job.place.classifier_folder(name),
        settings=ClassifierTraining(manager.seed, manager.heads, manager.head_steps, manager.cleaning_steps),
        judge=job.place.judge,
    )
    judged = {f"judged_{key}": report["judged"][key] for key in JUDGED[:2]} if "judged" in report else {}
    return {key: report[key] for key in JUDGED} | judged


def _cards(job: Job, _: str, done: Done) -> Figures:
    """Put the figures of the report into the cards of the backbone and of the skills."""
    report = json.loads(job.place.report.read_text(encoding="utf-8"))
    figures = done[BACKBONE]
    rows = {"parameters": f"{figures['parameters']:,}", "trained on": f"{figures['tokens']:,} tokens"}
    rows |= {f"bits per byte, {name}": f"{bits:.3f}" for name, bits in figures["bits_per_byte"].items()}
    fill(job.place.card, "The backbone", table(rows))
    for name, spec in job.trained.items():
        fill(job.place.skills / name / "README.md", name, card_figures(spec, report[name]["said"], report[name]))
    return {}


def _report(job: Job, _: str, done: Done) -> Figures:
    """Score everything as `adapterbot evaluate` does, and write that and the other steps' figures to one file."""
    most, encoders = job.recipe.report.most, job.recipe.manager.encoders
    used = job.place.classifier_folder(DIALOGUE if DIALOGUE in encoders else BACKBONE_ENCODER)
    bot = Bot(_model(job), replace(job.place, used=used), log=False)
    ranker = bot.manager.ranker if bot.manager else None
    scores = evaluate_backbone(bot, job.data, mixture=job.recipe.mixture, most=most)
    report: dict[str, Figures] = {"backbone": done[BACKBONE] | {k: v for k, v in scores.items() if k not in TEXTS}}
    for name in job.trained:
        spec = bot.roster.spec(name)
        corpus = load_corpus(job.specs[name], job.source(job.specs[name]))
        style = bot.roster.style(spec)
        made = judge_skill(spec, bot.backbone, bot.bank, corpus.valid, ranker=ranker, style=style, most=most)
        said = [(m, bot.respond(m, skill=name, seed=i).text) for i, m in enumerate(spec.sample_messages)]
        report[name] = {"data": corpus.origin, **made.figures, "said": said}
        report[name].pop(SPEED)
        job.announce(f"{name}: perplexity {made.figures['perplexity']:.2f}, F1 {made.figures['f1']:.1f}")
    for name, success in evaluate_styles(bot, job.data, list(job.trained), most=most).items():
        report[name] |= {f"style success, {way}": value for way, value in success.items()}
    report |= {"rank heads": done[RANK_HEADS]} if RANK_HEADS in done else {}
    report |= {"ranker": done[ENCODER]} if DIALOGUE in encoders else {}
    report["manager"] = {encoder: done[f"manager ({encoder})"] for encoder in encoders}
    with written_by_rename(job.place.report) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return {}


def _model(job: Job) -> Backbone:
    return read_backbone(job.place.backbone, "embedded")
