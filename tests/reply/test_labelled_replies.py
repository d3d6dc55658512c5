"""What the check of a reply against its facts is worth, by labels that were given by hand before it was seen.

The floors are what the check reaches today: they rise with it, and never fall. The labels stay as they are.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from adapterbot.evaluation.grounding import evaluate_grounding, grounding_grids, read_labelled_replies
from adapterbot.evaluation.tables import as_rich
from adapterbot.home import Home
from adapterbot.spec.folders import SkillFolders

LABELLED = Path(__file__).resolve().parent.parent / "labelled"
REPLIES = LABELLED / "replies.jsonl"
ITEMS = [json.loads(line) for line in REPLIES.read_text(encoding="utf-8").splitlines()]
TOLD = "covid_claims"  # no model words its replies, so there is nothing to check
PASSED = 66  # of the supported replies, at least
REFUSED = {  # of the unsupported ones by what is wrong with them, at least
    "value": 12,
    "question-premise": 4,
    "negation": 2,
    "binding": 9,
    "extra-claim": 8,
    "count": 7,
    "denial": 4,
    "day": 1,
    "none": 2,
}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How the check decides on all of them; shown as tables by `pytest -s`."""
    specs = SkillFolders(Home(tmp_path_factory.mktemp("home"))).load_all()
    replies = read_labelled_replies(REPLIES, specs)
    found = evaluate_grounding(replies)
    for grid in grounding_grids(found):
        Console(width=80).print(as_rich(grid))
    return found


def test_supported_replies_pass_at_least_as_often_as_before(figures: dict[str, Any]) -> None:
    assert figures["passed"] >= PASSED


@pytest.mark.parametrize("kind", [kind for kind, floor in REFUSED.items() if floor])
def test_unsupported_replies_are_refused_at_least_as_often_as_before(figures: dict[str, Any], kind: str) -> None:
    assert figures["kinds"][kind]["refused"] >= REFUSED[kind]


def test_every_labelled_reply_that_a_model_would_word_is_judged(figures: dict[str, Any]) -> None:
    items = [item for item in ITEMS if item["skill"] != TOLD]
    faults = Counter(item["kind"] for item in items if not item["supported"])
    assert figures["replies"] == len(items) == figures["supported"] + figures["unsupported"]
    assert {kind: of["replies"] for kind, of in figures["kinds"].items()} == faults
    assert faults.keys() == REFUSED.keys()
    wrong = figures["supported"] - figures["passed"] + figures["unsupported"] - figures["refused"]
    assert len(figures["misjudged"]) == len(set(figures["misjudged"])) == wrong


def test_the_labels_are_those_that_their_page_counts() -> None:
    page = (LABELLED / "README.md").read_text(encoding="utf-8")
    skills = {name: (int(a), int(b)) for name, a, b in re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \|$", page, re.M)}
    kinds = {kind: int(n) for kind, n in re.findall(r"^\| not supported \| ([\w-]+) \| (\d+) \|$", page, re.M)}
    counted = Counter((item["skill"], item["supported"]) for item in ITEMS)
    assert skills == {name: (counted[name, True], counted[name, False]) for name, _ in counted}
    assert kinds == Counter(item["kind"] for item in ITEMS if not item["supported"])
