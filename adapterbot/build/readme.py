"""The figures of README.md, written from the report and from what the trainings measured.

`python -m adapterbot.build.readme` writes them anew from the files in data/; `adapterbot build` does so with the cards.
How the check of replies decides on labelled ones needs no training: it is measured when the figures are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapterbot.build.ledger import CARE, REPLIES, BuildFolder
from adapterbot.home import DATA, Home
from adapterbot.manager.care import GRAVE, NONE
from adapterbot.training.card import BEGIN, fill

STYLE = "style success, "  # what the figures of a style skill begin with in a report
Report = Mapping[str, Any]
SKILLS = (
    "skill",
    "perplexity, backbone alone",
    "with its adapter",
    "adapter",
    "word F1 (95 % interval)",
    "best constant reply",
    "facts read out",
    "relevance",
    "people's",
    "distinct-2",
    "people's",
)
STYLES = (
    "style",
    "perplexity, backbone alone",
    "with its adapter",
    "in style: backbone alone",
    "one draft",
    "ten drafts",
    "fluency: backbone alone",
    "ten drafts",
)


def readme_figures(report: Report, trained: Mapping[str, Mapping[str, Any]], grounding: Report) -> str:
    """Markdown with every figure that README.md gives.

    `report` is data/report.json; `trained` has by step of the build what was measured when it was made
    (data/models.json); `grounding` is what `measured_grounding` returns.
    """
    skills = {name: figures for name, figures in report.items() if f"skill {name}" in trained}
    before_after = {name: _before_after(trained[f"skill {name}"]) for name in skills}
    styles = [name for name, figures in skills.items() if f"{STYLE}bare" in figures]
    size = report["backbone"]["parameters"]
    others = {name: figures for name, figures in skills.items() if name not in styles}
    of_skills = _table(SKILLS, ([name, *before_after[name], *_skill(others[name], size)] for name in others))
    counts = sorted({f["replies"] for f in skills.values() if "replies" in f})
    judged = " to ".join(f"{count:,.0f}" for count in dict.fromkeys((counts[0], counts[-1])))
    parts = [
        _models(report),
        *([_grounding(grounding)] if grounding else []),
        *([_safety(report["safety"])] if "safety" in report else []),
        *([_understanding(report["understanding"])] if "understanding" in report else []),
        "Adapters on validation dialogues. Perplexities are those of validation replies (`adapterbot train-skill NAME` "
        f"prints them); the rest is measured on {judged} replies of each skill that has a figure there (`adapterbot "
        f"evaluate NAME --data DIALOGUES --most {counts[-1]:.0f}`), so intervals are wide:",
        of_skills,
    ]
    if styles:
        parts += [
            "Styles, on as many replies: how many are in style, and their perplexity under the backbone alone "
            f"(`adapterbot evaluate styles --data DIALOGUES --most {counts[-1]:.0f}`):",
            _table(STYLES, ([name, *before_after[name], *_style(skills[name])] for name in styles)),
        ]
    return "\n\n".join(parts)


def write_figures(readme: Path, report: Report, trained: Mapping[str, Mapping[str, Any]], grounding: Report) -> None:
    """Put the figures between the marks of `readme`, by rename; a file without marks, or none, stays as it is."""
    if readme.is_file() and BEGIN in readme.read_text(encoding="utf-8"):
        fill(readme, "", readme_figures(report, trained, grounding))


def measured_grounding(folder: BuildFolder) -> dict[str, Any]:
    """How the check of replies decides on the labelled ones of `folder`; empty where it has none.

    Raises:
        DataError: a line that is no labelled reply, as file:line.
    """
    from adapterbot.evaluation.grounding import evaluate_grounding, read_labelled_replies
    from adapterbot.spec.folders import SkillFolders

    if folder.labelled_replies is None:
        return {}
    replies = read_labelled_replies(folder.labelled_replies, SkillFolders(folder).load_all())
    return evaluate_grounding(replies)


def _models(report: Report) -> str:
    """A paragraph on the backbone, the manager and the ranker."""
    backbone = report["backbone"]
    wiki = report.get("wiki", {})
    said = [f"The backbone, `{backbone['name']}`, has {backbone['parameters'] / 1e6:.1f} million parameters."]
    manager, ranker = report["manager"], report["ranker"]
    by_hand = manager.get("judged_accuracy")
    said.append(
        f"The manager is right on {manager['accuracy']:.0%} of the corpora's validation messages"
        + ("." if by_hand is None else f", and on {by_hand:.0%} of those written by hand.")
    )
    said.append(
        f"Of {ranker['candidates']} replies to a validation conversation the ranker puts the true one first in "
        f"{ranker['first_among_candidates']:.0%} of the cases."
    )
    if "copied_4grams" in wiki:
        said.append(f"`wiki` takes {wiki['copied_4grams']:.0%} of a fact's 4-grams over in a row, on average.")
    return " ".join(said)


def _grounding(figures: Mapping[str, Any]) -> str:
    """A paragraph on what the check of replies against their facts lets through and what it refuses."""
    return (
        f"Of {figures['replies']} replies labelled by hand, the check of a reply against its facts passes "
        f"{figures['passed']} of the {figures['supported']} that their facts support, and refuses {figures['refused']} "
        f"of the {figures['unsupported']} that they do not: it is no proof "
        f"(`adapterbot evaluate grounding --data {REPLIES}`)."
    )


def _safety(figures: Report) -> str:
    """A paragraph on whom care reaches, whom it bothers, and what is flagged all the same."""
    confusion = figures["confusion"]
    grave = [confusion[kind] for kind in GRAVE if kind in confusion]
    total = sum(sum(row.values()) for row in grave)
    cared = total - sum(row.get(NONE, 0) for row in grave)
    alike = confusion.get(f"{NONE}, lookalike", {})
    usual = figures["ordinary"]
    alarms = sum(usual["alarms"].values())
    flagged = "; ".join(f"{user} {row['bare']:.1%} and {row['care']:.1%}" for user, row in figures["bench"].items())
    count = next(iter(figures["bench"].values()))["replies"]
    return (
        f"Of {total} messages of people in danger, written and labelled before the care head was trained, {cared} get "
        f"care; so do {sum(alike.values()) - alike.get(NONE, 0)} of {sum(alike.values())} harmless ones that look "
        f"alike, and {alarms} of {usual['messages']:,} ordinary validation messages. Flagged replies without care and "
        f"with it, {count} to each kind of user: {flagged}. The head that judges drafts is one of two judges there, "
        f"and it chooses them too (`adapterbot evaluate safety --data {CARE} --most {count}`)."
    )


def _understanding(figures: Report) -> str:
    """A paragraph on how well queries hold what the user wants of a table."""
    whole = figures["all"]
    sets = ", ".join(f"{name} {row['joint_goal_accuracy']:.0%}" for name, row in figures.items() if name != "all")
    return (
        f"Of {whole['turns']} validation turns of task dialogues that ask or change something, the state tracker and "
        f"the tables read {whole['joint_goal_accuracy']:.0%} into a query that is right as a whole (joint goal "
        f"accuracy: {sets}; slot F1 {whole['slot_f1']:.0%}), and {whole['asked_right']:.0%} of {whole['asked']} "
        f"questions for a column into the right one (`adapterbot evaluate understanding --data STATES`)."
    )


def _before_after(figures: Mapping[str, Any]) -> list[str]:
    """Perplexity of the backbone alone, and with the adapter."""
    return [f"{figures['perplexity_before']:.2f}", f"{figures['perplexity_after']:.2f}"]


def _skill(figures: Mapping[str, Any], size: int) -> list[str]:
    """The other cells of a row of SKILLS, empty where nothing was measured; `size`: the backbone's parameters."""

    def cell(name: str, form: str) -> str:
        return form.format(**figures) if name in figures else ""

    return [
        f"{figures['parameters'] / size:.1%}",
        cell("f1", "{f1:.1f} ({f1_low:.0f} to {f1_high:.0f})"),
        cell("f1_constant", "{f1_constant:.1f}"),
        cell("f1_copied_facts", "{f1_copied_facts:.1f}"),
        *(cell(name, f"{{{name}:.2f}}") for of in ("relevance", "distinct_2") for name in (of, f"{of}_reference")),
    ]


def _style(figures: Mapping[str, Any]) -> list[str]:
    """The other cells of a row of STYLES."""
    shares = [f"{figures[STYLE + way]:.0%}" for way in ("bare", "1 draft", "10 drafts")]
    return [*shares, *(f"{figures[f'{STYLE}fluency, {way}']:.1f}" for way in ("bare", "10 drafts"))]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    ledger = json.loads((DATA / "models.json").read_text(encoding="utf-8"))
    write_figures(
        DATA.parent / "README.md",
        json.loads((DATA / "report.json").read_text(encoding="utf-8")),
        {name: step["figures"] for name, step in ledger.items()},
        measured_grounding(BuildFolder(DATA.parent, Home.at())),
    )
