"""`adapterbot evaluate`: skills, and what is judged beside them, as tables, JSON and a page."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress, TaskID
from rich.table import Table

from adapterbot.cli.console import console
from adapterbot.cli.formats import PAIRS, STATES
from adapterbot.cli.judged import FILES, LIBRARIES, SPECIAL, Scoring, corpora_of, wordings_of
from adapterbot.cli.names import check_data, check_targets
from adapterbot.cli.output import say
from adapterbot.cli.requirements import requires
from adapterbot.cli.stopping import StoppedError
from adapterbot.errors import AdapterbotError
from adapterbot.home import written_by_rename

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.evaluation.skill import SkillEvaluation


def check_request(names: Sequence[str], data: str | None, html: Path | None) -> None:
    """Raise now, before a model is loaded, what would otherwise show only after that or after the work.

    Raises:
        UnknownNameError: a name is neither a skill nor one of SPECIAL. DataError: there is no such --data, or
            it has a line that is no labelled reply.
        MissingPartError: libraries that the targets need are not installed; all are named.
        AdapterbotError: a target lacks its --data, or --html has no skill to show.
    """
    skills = [name for name in names if name not in SPECIAL]
    check_targets(skills, list(SPECIAL))
    check_data(data)
    needed = {module for name in names for module in LIBRARIES.get(name, ())}
    if skills or not names:
        needed |= {"sacrebleu", "sklearn"}
    if html is not None:
        needed.add("matplotlib")
    if data is not None and data.startswith("hub:"):
        needed.add("datasets")
    requires("evaluate", *needed)
    if html is not None and names and not skills:
        raise AdapterbotError("the page (--html) is about skills: name one, or leave all names out")
    for name, form in FILES.items():
        if name in names and (data is None or not Path(data).expanduser().is_file()):
            raise AdapterbotError(f"evaluate {name} needs --data FILE. {form}")
    if "grounding" in names and data is not None:
        from adapterbot.evaluation.grounding import read_labelled_replies
        from adapterbot.home import Home
        from adapterbot.spec.folders import SkillFolders

        read_labelled_replies(Path(data).expanduser(), SkillFolders(Home.at()).load_all())
    if "understanding" in names and (data is None or not Path(data).expanduser().is_dir()):
        raise AdapterbotError(f"evaluate understanding needs --data FOLDER. {STATES}")
    if "entailment" in names and (data is None or not Path(data).expanduser().is_dir()):
        raise AdapterbotError(f"evaluate entailment needs --data FOLDER of labelled pairs. {PAIRS}")
    for name in ("styles", "claims"):
        if name in names and not (name == "claims" and wordings_of(data)):
            corpora_of(name, data)


def evaluate_all(
    bot: Bot,
    names: Sequence[str],
    data: str | None,
    out: Path | None,
    most: int,
    seed: int,
    *,
    html: Path | None = None,
    compare: Collection[str] = (),
    epochs: int | None = None,
    drafts: int | None = None,
) -> None:
    """Score skills, the manager and the like: tables, and JSON to `out`.

    `html`: the page over the skills to write. `compare`, `epochs`: see `Comparison`; `drafts`: `evaluate_named`.
    """
    from adapterbot.evaluation.baselines import Comparison, evaluate_named

    chosen = list(dict.fromkeys(names)) or [name for name in bot.skills if name in bot.bank.rows]
    for name in chosen:
        if name not in SPECIAL:
            bot.roster.spec(name)  # raises for one that cannot answer
    figures: dict[str, dict[str, Any]] = {}
    judged: dict[str, SkillEvaluation] = {}
    stopped = False
    try:
        with Progress(console=console, transient=True) as bar:
            for name in chosen:
                task = bar.add_task(name, total=None)

                def advance(done: int, total: int, task: TaskID = task) -> None:
                    bar.update(task, advance=done, total=total)

                if name in SPECIAL:
                    figures[name] = SPECIAL[name](Scoring(bot, name, data, most, seed, advance))
                    continue
                comparison = Comparison(compare, epochs, seed, advance)
                judged[name] = evaluate_named(bot, name, data, most=most, comparison=comparison, drafts=drafts)
                figures[name] = {"data": judged[name].origin} | judged[name].figures
    except KeyboardInterrupt:  # what was judged by then is shown and written
        stopped = True
    _show(figures)
    _write_json(out, figures)
    if html is not None and judged:
        _write_page(html, bot, judged)
    if stopped:
        raise StoppedError(f"stopped; {len(figures)} of {len(chosen)} were judged")


def _write_json(path: Path | None, figures: Mapping[str, Any]) -> None:
    if path is None:
        return
    with written_by_rename(path) as temporary:
        temporary.write_text(json.dumps(_finite(figures), indent=2), encoding="utf-8")


def _write_page(path: Path, bot: Bot, judged: Mapping[str, SkillEvaluation]) -> None:
    from adapterbot.evaluation.page import write_report_page

    write_report_page(path, bot.backbone, judged)
    say(f"the page: {path}")


def _show(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Skills and labelled replies as tables of 80 columns, all else as one figure a line."""
    from adapterbot.evaluation.entailment import entailment_grid
    from adapterbot.evaluation.grounding import grounding_grids
    from adapterbot.evaluation.safety import safety_grids
    from adapterbot.evaluation.tables import as_rich, grids

    shown = list(grids({name: report for name, report in figures.items() if name not in SPECIAL}))
    shown += grounding_grids(figures["grounding"]) if "grounding" in figures else []
    shown += safety_grids(figures["safety"]) if "safety" in figures else []
    shown += [entailment_grid(figures["entailment"])] if "entailment" in figures else []
    for grid in shown:
        console.print(as_rich(grid))
        console.print(f"{grid.note}\n", style="dim")
    special = [name for name in figures if name in SPECIAL and name not in ("grounding", "safety", "entailment")]
    if special:
        table = Table("skill", "figure", "value")
        for name in special:
            for key, value in _figures(figures[name]):
                table.add_row(name, key, f"{value:.4g}" if isinstance(value, float) else str(value))
        console.print(table)


def _finite(value: Any) -> Any:
    """`value` with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figures(report: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """What a table shows of a report: single values, and figures by name one level down."""
    for key, value in report.items():
        if not isinstance(value, dict | list):
            yield key, value
        elif isinstance(value, dict) and all(isinstance(figure, int | float) for figure in value.values()):
            yield from ((f"{key}, {name}", figure) for name, figure in value.items())
