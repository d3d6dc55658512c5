"""What the commands show in a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from adapterbot.errors import AdapterbotError
from adapterbot.turn import Reply

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.session import Session
    from adapterbot.training.corpus import Corpus
    from adapterbot.training.skill import TrainingResult

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


def show_trained(trained: TrainingResult) -> None:
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
