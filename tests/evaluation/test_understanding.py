"""Belief states against queries: right ones, wrong ones, and a folder without states."""

from __future__ import annotations

from pathlib import Path

import pytest
from belief_files import states

from adapterbot.errors import DataError
from adapterbot.evaluation.understanding import Case, cases, evaluate_understanding, judge
from adapterbot.knowledge.query_language import Clause, WrittenQuery


def cheap(case: Case) -> WrittenQuery:
    """Whatever is said, something cheap is wanted."""
    return case.table.schema(case.domain).read("pricerange = CHEAP")


def test_states_are_judged_clause_by_clause(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        states(tmp_path, part)
    given = cases(tmp_path)
    assert sorted(str(case.right) for case in given) == [
        "name = Hay Loft; ask phone",
        "pricerange = cheap",
        "pricerange = cheap; area = north; stars = 4",
    ]
    right = judge(given, [case.right for case in given])["all"]
    assert (right.turns, right.joint_goal_accuracy, right.slot_f1, right.asked_right) == (3, 1.0, 1.0, 1.0)
    report = evaluate_understanding(cheap, tmp_path)
    assert report["all"] == report["multiwoz"]
    assert report["all"]["joint_goal_accuracy"] == pytest.approx(1 / 3)
    assert report["all"]["slot_f1"] == pytest.approx(2 * 2 / (5 + 3))
    assert (report["all"]["asked"], report["all"]["asked_right"]) == (1, 0.0)
    typo = [WrittenQuery((Clause("pricerange", "=", ("chaep",)),))] * 3
    assert judge(given, typo)["all"].joint_goal_accuracy == 0


def test_a_folder_without_states(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no NAME/valid\.jsonl\.gz of multiwoz"):
        evaluate_understanding(cheap, tmp_path)
