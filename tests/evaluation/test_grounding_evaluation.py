"""Labelled replies are read line by line, and the check of replies is counted against their labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapterbot.errors import DataError
from adapterbot.evaluation.grounding import evaluate_grounding, grounding_grids, passes, read_labelled_replies
from adapterbot.home import Home
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import SkillSpec

ROW = "name: Golden Fig, area: centre, food: turkish, pricerange: cheap"
PASSAGE = "The Brome is a long river in Tarland. Its only bridge, of iron, was built in 1742 by Ida Holm."
ITEM = {"id": "a", "skill": "restaurant", "facts": [ROW], "history": ["Where is it?"], "reply": "In the centre."}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, SkillSpec]:
    return SkillFolders(Home(tmp_path_factory.mktemp("home"))).load_all()


def written(folder: Path, *items: Mapping[str, Any]) -> Path:
    path = folder / "replies.jsonl"
    path.write_text("\n\n".join(json.dumps(item) for item in items), encoding="utf-8")
    return path


def labelled(reply: str, supported: bool, kind: str = "", **more: object) -> dict[str, Any]:
    return {**ITEM, "id": reply, "reply": reply, "supported": supported, "kind": kind, **more}


def test_what_passes_and_what_is_refused_is_counted_by_kind_and_by_skill(
    tmp_path: Path, specs: Mapping[str, SkillSpec]
) -> None:
    wiki: dict[str, Any] = {"skill": "wiki", "facts": [PASSAGE], "history": ["Tell me of the Brome."]}
    path = written(
        tmp_path,
        labelled("The Golden Fig is in the centre.", True),
        labelled("It is in the middle of 3 lanes.", True),
        labelled("It is in the north.", False, "value"),
        labelled("It is cheap and turkish and in the centre, with a garden.", False, "extra"),
        labelled("It is in the east.", False, "value"),
        labelled("The Brome is a long river in Tarland.", True, **wiki),
        labelled("The Brome is a river in Farland, built in 1742.", False, "value", **wiki),
    )
    figures = evaluate_grounding(read_labelled_replies(path, specs))
    assert figures == {
        "replies": 7,
        "supported": 3,
        "passed": 2,
        "unsupported": 4,
        "refused": 4,
        "kinds": {"value": {"replies": 3, "refused": 3}, "extra": {"replies": 1, "refused": 1}},
        "skills": {
            "restaurant": {"supported": 2, "passed": 1, "unsupported": 3, "refused": 3},
            "wiki": {"supported": 1, "passed": 1, "unsupported": 1, "refused": 1},
        },
        "misjudged": ["It is in the middle of 3 lanes."],
    }
    kinds, skills = grounding_grids(figures)
    assert kinds.rows[0] == ("(nothing)", "3", "2", "67%", "", "", "")
    assert kinds.rows[1] == ("(anything)", "", "", "", "4", "4", "100%")
    assert kinds.rows[2] == ("value", "", "", "", "3", "3", "100%")
    assert skills.rows[1] == ("wiki", "1", "1", "100%", "1", "1", "100%")


def test_what_was_said_counts_as_the_check_counts_it(tmp_path: Path, specs: Mapping[str, SkillSpec]) -> None:
    wiki: dict[str, Any] = {"skill": "wiki", "facts": [PASSAGE]}
    told = [
        labelled("The Brome is in Farland.", False, "premise", history=["Is the Brome in Farland?"], **wiki),
        labelled("The Brome is in Farland.", False, "value", history=["Where is the Brome?"], **wiki),
        labelled("It is in the north.", False, "premise", history=["Is it in the north?"]),  # of a row only its cells
    ]
    replies = read_labelled_replies(written(tmp_path, *told), specs)
    assert [passes(reply) for reply in replies] == [True, False, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"supported": "no"}, "not {"),
        ({"supported": None}, "not {"),
        ({"reply": " "}, "not {"),
        ({"reply": 3}, "not {"),
        ({"history": "Hi"}, "not {"),
        ({"history": [3]}, "not {"),
        ({"kind": 3}, "not {"),
        ({"skill": ["wiki"]}, "not {"),
        ({"facts": "a text"}, "facts is a list of texts"),
        ({"facts": ["x"] * 2_000}, "2,000 facts were given"),
        ({"skill": "wheather"}, "'wheather' is no skill that answers from facts (attraction, calendar,"),
        ({"skill": "joy"}, "'joy' is no skill that answers from facts"),
    ],
)
def test_the_first_bad_line_is_told_with_its_number(
    tmp_path: Path, specs: Mapping[str, SkillSpec], change: dict[str, object], message: str
) -> None:
    good = labelled("It is in the centre.", True)
    path = written(tmp_path, good, {**good, **change})
    with pytest.raises(DataError) as told:
        read_labelled_replies(path, specs)
    assert str(told.value).startswith(f"{path}:3: ")  # an empty line between them counts
    assert message in str(told.value)


@pytest.mark.parametrize("text", [b"{", b"[]", b"3", b'{"skill": "wiki"}', b"\xff\xfe", b"[" * 100_000])
def test_no_json_is_told_with_its_line(tmp_path: Path, specs: Mapping[str, SkillSpec], text: bytes) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(text)
    with pytest.raises(DataError, match=r"odd\.jsonl:1: not \{"):
        read_labelled_replies(path, specs)


def test_no_replies_and_no_file_are_told(tmp_path: Path, specs: Mapping[str, SkillSpec]) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no labelled reply"):
        read_labelled_replies(tmp_path / "empty.jsonl", specs)
    with pytest.raises(DataError, match="cannot be read: "):
        read_labelled_replies(tmp_path / "gone.jsonl", specs)
