"""How good is the check of a reply against its facts? Measured on replies labelled by hand, not by the check.

`metrics` counts values without support by the check's own list of values: a reply that passed the check has none, so
that figure is no proof of it. Here each reply has a label that says whether its facts support all of it. What counts is
how many of the supported replies pass, and how many of the others are refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterbot.errors import DataError, InputError
from adapterbot.evaluation.tables import Grid
from adapterbot.facts import Fact
from adapterbot.knowledge import given_facts
from adapterbot.language.text import Text
from adapterbot.reply.features import Situation
from adapterbot.reply.grounding import Evidence, told
from adapterbot.reply.rerank import is_sound
from adapterbot.spec.tables import SkillSpec

FORM = '{"skill", "facts": ["..."], "history": ["..."], "reply", "supported": true | false, "kind"}'
BY_KIND = (
    "Labelled by hand, judged by the check that drafts are chosen by. passed: of the replies that their facts "
    "support; refused: of those that they do not, by what is wrong."
)
BY_SKILL = "As above. The ids of all that were misjudged stand in the JSON (--json)."
WIDEST = 16  # characters of a kind


@dataclass(frozen=True, slots=True)
class LabelledReply:
    """A reply, what it rests on, what was said before it (newest last), and whether the facts support all of it.

    `kind` says what is wrong with one that they do not support.
    """

    id: str
    spec: SkillSpec
    facts: tuple[Fact, ...]
    history: tuple[str, ...]
    reply: str
    supported: bool
    kind: str


def read_labelled_replies(path: Path, specs: Mapping[str, SkillSpec]) -> list[LabelledReply]:
    """The replies of a JSONL file, one a line (see FORM; `id` may be left out); `specs` are the skills by name.

    Raises:
        DataError: it cannot be read or holds none, or the first line that is not of this form, as file:line.
    """
    found = list[LabelledReply]()
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                if raw.strip():
                    found.append(_labelled_reply(raw, f"{path}:{number}", specs))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not found:
        raise DataError(f"{path} holds no labelled reply: {FORM} a line")
    return found


def passes(labelled: LabelledReply) -> bool:
    """Whether the check that chooses among drafts would let this reply be shown."""
    evidence = Evidence.of(labelled.spec, labelled.facts)
    return is_sound(Text(labelled.reply), Situation(labelled.history, labelled.spec.group, evidence))


def evaluate_grounding(replies: Sequence[LabelledReply]) -> dict[str, Any]:
    """How the check decides on labelled replies; all figures are counts of replies. Those on a claim are left out: no
    model words them, so that there is nothing to check.

    `replies`; `supported` and how many of them `passed`; `unsupported` and how many of them were `refused`; `kinds`: of
    each kind of fault its `replies` and how many were `refused`; `skills`: of each skill the first four; `misjudged`:
    the ids of the supported that were refused, and of the others that passed.
    """
    replies = [labelled for labelled in replies if not told(labelled.facts)]
    shown = {i for i, labelled in enumerate(replies) if passes(labelled)}
    right = [labelled.supported == (i in shown) for i, labelled in enumerate(replies)]
    faults, caught = Counter[str](), Counter[str]()
    for labelled, decided in zip(replies, right, strict=True):
        if not labelled.supported:
            faults[labelled.kind] += 1
            caught[labelled.kind] += decided
    judged = list(zip(replies, right, strict=True))
    names = sorted({labelled.spec.name for labelled in replies})
    return {
        "replies": len(replies),
        **_counts(judged),
        "kinds": {kind: {"replies": count, "refused": caught[kind]} for kind, count in faults.most_common()},
        "skills": {name: _counts((one, ok) for one, ok in judged if one.spec.name == name) for name in names},
        "misjudged": [labelled.id for labelled, decided in judged if not decided],
    }


def grounding_grids(figures: Mapping[str, Any]) -> list[Grid]:
    """What `evaluate_grounding` found as two tables: by what is wrong, and by skill."""
    supported = ("(nothing)", *_of(figures["passed"], figures["supported"]), "", "", "")
    every = ("(anything)", "", "", "", *_of(figures["refused"], figures["unsupported"]))
    kinds = [(kind, "", "", "", *_of(of["refused"], of["replies"])) for kind, of in figures["kinds"].items()]
    skills = [
        (name, *_of(of["passed"], of["supported"]), *_of(of["refused"], of["unsupported"]))
        for name, of in figures["skills"].items()
    ]
    head = ("supported", "passed", "share", "unsupported", "refused", "share")
    return [
        Grid(
            "Labelled replies, by what is wrong", BY_KIND, ("wrong", *head), (supported, every, *kinds), widest=WIDEST
        ),
        Grid("The same replies, by skill", BY_SKILL, ("skill", *head), tuple(skills)),
    ]


def _counts(judged: Iterable[tuple[LabelledReply, bool]]) -> dict[str, int]:
    found = Counter((labelled.supported, decided) for labelled, decided in judged)
    return {
        "supported": found[True, True] + found[True, False],
        "passed": found[True, True],
        "unsupported": found[False, True] + found[False, False],
        "refused": found[False, True],
    }


def _of(right: int, total: int) -> tuple[str, str, str]:
    return str(total), str(right), f"{right / total:.0%}" if total else "-"


def _labelled_reply(raw: bytes, where: str, specs: Mapping[str, SkillSpec]) -> LabelledReply:
    try:
        item = json.loads(raw.decode("utf-8-sig"))
        skill, facts, history = item["skill"], item["facts"], item["history"]
        reply, supported, kind, name = item["reply"], item["supported"], item.get("kind", ""), item.get("id", where)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{where}: not {FORM}") from None
    texts = [skill, reply, kind, name, *(history if isinstance(history, list) else [None])]
    if not all(isinstance(text, str) for text in texts) or not isinstance(supported, bool) or not reply.strip():
        raise DataError(f"{where}: not {FORM}")
    if skill not in specs or not specs[skill].grounded:
        known = ", ".join(sorted(other for other, spec in specs.items() if spec.grounded))
        raise DataError(f"{where}: {skill!r} is no skill that answers from facts ({known})")
    try:
        given = given_facts(facts, specs[skill])
    except InputError as error:
        raise DataError(f"{where}: {error}") from None
    return LabelledReply(name, specs[skill], given, tuple(history), reply, supported, kind)
