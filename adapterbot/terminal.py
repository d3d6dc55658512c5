"""What the commands show in a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from adapterbot.errors import AdapterbotError
from adapterbot.home import written_by_rename
from adapterbot.turn import Reply

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.examples import Corpus
    from adapterbot.session import Session
    from adapterbot.training import Trained

console = Console(highlight=False)
HELP = "/skill NAME chooses a skill, /auto lets the manager choose, /undo forgets the last exchange, /quit ends."


def talk(bot: Bot, session_id: str, skill: str | None, seed: int | None) -> None:
    """The chat loop: streams replies until /quit, Ctrl-D or Ctrl-C."""
    session = bot.session(session_id)
    console.print(f"[dim]{HELP}[/dim]")
    while True:
        try:
            message = console.input("[bold]you:[/bold] ")
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        command, _, argument = message.strip().partition(" ")
        if command in {"/quit", "/exit"}:
            return
        if command in {"/skill", "/auto"}:
            skill = argument.strip() or None if command == "/skill" else None
            console.print(f"skill {skill}" if skill else "the manager chooses", style="dim", markup=False)
        elif command == "/undo":
            session.undo()
        elif command.startswith("/"):
            console.print(f"[dim]{HELP}[/dim]")
        else:
            _say(session, message, skill, seed)


def _say(session: Session, message: str, skill: str | None, seed: int | None) -> None:
    """One exchange; a reply is shown as it comes, and what chose it after it."""
    try:
        stream = session.stream(message, skill=skill, seed=seed)
        while True:
            console.print(next(stream), end="", markup=False, soft_wrap=True)
    except StopIteration as end:
        reply: Reply = end.value
        console.print(f"\n[dim]{reply.skill} ({reply.routed_by})[/dim]")
        for fact in reply.facts:
            console.print(f"  from {fact.source}: {fact.title or fact.text}", style="dim", markup=False)
        for warning in reply.warnings:
            console.print(f"  note: {warning}", style="yellow", markup=False)
    except KeyboardInterrupt:
        console.print(" [dim](stopped)[/dim]")
    except AdapterbotError as error:
        console.print(str(error), style="red", markup=False)


def show_corpus(corpus: Corpus, rows: int, tokens: int) -> None:
    """What a training learns from, plainly."""
    console.print(
        f"training on {corpus.origin}: {len(corpus.train):,} dialogues, {rows:,} windows, {tokens:,} tokens",
        markup=False,
    )
    if "sample dialogues" in corpus.origin:
        console.print(
            "no corpus was given, so this learns from the few samples alone. For a good skill: "
            "--data FILE_OR_FOLDER, --data hub:NAME, or set ADAPTERBOT_CORPORA.",
            style="yellow",
        )


def show_trained(trained: Trained) -> None:
    """Perplexity before and after, sample replies, and where the files are."""
    if trained.resumed_at:
        console.print(f"resumed at step {trained.resumed_at}")
    console.print(
        f"{trained.skill}: perplexity on validation replies {trained.before:.2f} before, {trained.after:.2f} after "
        f"({trained.epochs} epochs, {trained.tokens_per_second:,.0f} tokens/s, {trained.parameters:,} parameters, "
        f"{trained.share:.1%} of the backbone's)"
    )
    for message, reply in trained.replies[:3]:
        console.print(f"  you: {message}\n  bot: {reply}", markup=False)
    console.print(
        f"written to {trained.folder}; it is used from now on (delete that folder to undo)",
        markup=False,
        soft_wrap=True,
    )


def show_scores(name: str, report: Mapping[str, Any]) -> None:
    """The plain figures of a report, one a line."""
    for key, value in report.items():
        if isinstance(value, float):
            console.print(f"{name}  {key}: {value:.4g}")
        elif isinstance(value, int | str):
            console.print(f"{name}  {key}: {value}", markup=False)


@dataclass(frozen=True, slots=True)
class Scoring:
    """One thing to score and how: a skill's name, or one of SPECIAL. `advance` is told steps just done and in all."""

    bot: Bot
    name: str
    data: str | None
    most: int
    seed: int
    page: Path
    advance: Callable[[int, int], None]


def evaluate_all(
    bot: Bot, names: Sequence[str], data: str | None, out: Path | None, most: int, seed: int, page: Path | None = None
) -> None:
    """Score skills, the manager or the backbone: a table, JSON to `out`, the backbone's replies to `page`."""
    chosen = list(names) or [n for n in bot.skills if n in bot.bank.rows]
    figures: dict[str, dict[str, Any]] = {}
    with Progress(console=console, transient=True) as bar:
        for name in chosen:
            task = bar.add_task(name, total=None)

            def advance(done: int, total: int, task: TaskID = task) -> None:
                bar.update(task, advance=done, total=total)

            score = SPECIAL.get(name, _skill_report)
            figures[name] = score(Scoring(bot, name, data, most, seed, page or Path("backbone.md"), advance))
    table = Table("skill", "figure", "value")
    for name, report in figures.items():
        for key, value in _figures(report):
            table.add_row(name, key, f"{value:.4g}" if isinstance(value, float) else str(value))
    console.print(table)
    if out is not None:
        with written_by_rename(out) as temporary:
            temporary.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def _figures(report: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """What a table shows of a report: single values, and figures by name one level down."""
    for key, value in report.items():
        if not isinstance(value, dict | list):
            yield key, value
        elif isinstance(value, dict) and all(isinstance(figure, float) for figure in value.values()):
            yield from ((f"{key}, {name}", figure) for name, figure in value.items())


def _skill_report(asked: Scoring) -> dict[str, Any]:
    """A skill's figures on its validation dialogues."""
    from adapterbot.evaluation import evaluate_skill
    from adapterbot.examples import load_corpus

    bot = asked.bot
    spec = bot.roster.spec(asked.name)  # raises for an unknown or unusable skill
    corpus = load_corpus(spec, asked.data)
    return {"data": corpus.origin} | evaluate_skill(
        spec,
        bot.backbone,
        bot.bank,
        corpus.valid,
        ranker=bot.manager.ranker if bot.manager else None,
        most=asked.most,
        seed=asked.seed,
        advance=lambda done: asked.advance(done, asked.most),
    )


def _manager_report(asked: Scoring) -> dict[str, Any]:
    """The manager's figures on messages with the skill each should lead to."""
    from adapterbot.manager.report import evaluate_messages

    if asked.bot.manager is None:
        raise AdapterbotError("no manager was trained for this backbone: adapterbot train-manager")
    if asked.data is None:
        raise AdapterbotError(
            'evaluate manager needs --data FILE with {"history": [...], "message": "...", "label": "<skill>"} a line'
        )
    return dict(evaluate_messages(asked.bot.manager, Path(asked.data)))


def _backbone_report(asked: Scoring) -> dict[str, Any]:
    """The backbone's figures; its replies go to the page."""
    from adapterbot.data.corpora import corpora_folder
    from adapterbot.judgement import evaluate_backbone, write_page

    folder = corpora_folder(Path(asked.data) if asked.data else None)
    if folder is None:
        console.print("no bits per byte: they need --data FOLDER (or ADAPTERBOT_CORPORA)", style="yellow")
    report = evaluate_backbone(asked.bot, folder, most=asked.most, seed=asked.seed, advance=asked.advance)
    write_page(report, asked.page)
    console.print(f"its replies: {asked.page}", markup=False, soft_wrap=True)
    return report


# What `evaluate` knows beside the skills.
SPECIAL: dict[str, Callable[[Scoring], dict[str, Any]]] = {"manager": _manager_report, "backbone": _backbone_report}


def list_skills(bot: Bot, as_json: bool) -> bool:
    """Print every skill; whether all are sound."""
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "group": spec.group if (spec := bot.specs.get(name)) else "",
            "summary": spec.summary if spec else "",
            "auto": bool(spec and spec.routing.auto),
            "adapter": "backbone alone"
            if spec and spec.adapter is None
            else "trained"
            if name in bot.bank.rows
            else "none",
            "folder": str(spec.folder) if spec else "",
            "problem": str(bot.roster.problems.get(name, "")),
        }
        for name in sorted({*bot.specs, *bot.roster.problems})
    ]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return not bot.roster.problems
    table = Table("skill", "group", "adapter", "what it does")
    for row in rows:
        table.add_row(
            row["name"],
            row["group"],
            row["adapter"],
            row["problem"] or row["summary"],
            style="red" if row["problem"] else "",
        )
    console.print(table)
    console.print(
        f"{len(rows) - len(bot.roster.problems)} valid skills"
        + (f", {len(bot.roster.problems)} with a fault" if bot.roster.problems else "")
    )
    return not bot.roster.problems
