"""Wordings of claims are read item by item, and their verdicts counted by kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterbot.errors import DataError
from adapterbot.evaluation.wordings import evaluate_wordings
from adapterbot.home import Home
from adapterbot.knowledge.claims.source import ClaimSource

CLAIM = {
    "title": "Tea",
    "text": "It has none.",
    "true": ["Mint tea is free of caffeine"],
    "false": ["Mint tea cures flu"],
}
SENTENCES = [
    {"text": "Does mint tea cure flu?", "right": ["contradicted"], "kind": "plain"},
    {"text": "Mint tea cures flu.", "right": ["supported"], "kind": "plain"},
    {"text": "Perhaps mint tea cures flu.", "right": ["not known", "contradicted"], "kind": "hedge"},
]
FRAMES = [
    {"frame": "{claim}, right?", "effect": "keep"},
    {"frame": "It is a lie that {claim}.", "effect": "reverse"},
    {"frame": "I heard that {claim}", "effect": "neither"},
]


@pytest.fixture
def source(tmp_path: Path, home: Home) -> ClaimSource:
    path = tmp_path / "claims.jsonl"
    path.write_text(json.dumps(CLAIM), encoding="utf-8")
    return ClaimSource(path, home)


def shares(texts: int, right: float, wrong: float, unknown: float) -> dict[str, float]:
    return {"texts": texts, "right": right, "wrong": wrong, "not known": unknown}


def test_sentences_are_counted_by_kind(tmp_path: Path, source: ClaimSource) -> None:
    path = tmp_path / "sentences.jsonl"
    path.write_text("\n".join(map(json.dumps, SENTENCES)), encoding="utf-8")
    told = list[tuple[int, int]]()
    found = evaluate_wordings(source, path, 9, lambda done, total: told.append((done, total)))
    assert found == {
        "all": shares(3, 1 / 3, 1 / 3, 1 / 3),
        "hedge": shares(1, 0, 0, 1),
        "plain": shares(2, 0.5, 0.5, 0),
    }
    assert told == [(1, 3)] * 3


@pytest.mark.parametrize(("most", "texts"), [(9, 2), (1, 1)])
def test_frames_are_counted_by_effect(tmp_path: Path, source: ClaimSource, most: int, texts: int) -> None:
    path = tmp_path / "frames.json"
    path.write_text(json.dumps(FRAMES), encoding="utf-8")
    found = evaluate_wordings(source, path, most)
    assert found["keep"] == shares(texts, 1, 0, 0)
    assert found["reverse"] == shares(texts, 0, 0, 1)
    assert found["neither"] == shares(texts, 0, 1, 0)
    assert found["all"]["texts"] == 3 * texts


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no wording"),
        ("{", r"wordings.json:1: not JSON"),
        ('{"text": "a", "right": ["yes"], "kind": "b"}', r"wordings.json:1: not \{"),
        ('{"text": "a", "right": [{}], "kind": "b"}', r"wordings.json:1: not \{"),
        ('\n{"frame": "no place", "effect": "keep"}', r"wordings.json:2: not \{"),
        ('[{"frame": "{claim}", "effect": "keep"}, {"frame": "{claim}", "effect": "turn"}]', "item 2: not"),
    ],
)
def test_what_is_no_wording_is_named(tmp_path: Path, source: ClaimSource, text: str, problem: str) -> None:
    path = tmp_path / "wordings.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        evaluate_wordings(source, path, 9)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, source: ClaimSource) -> None:
    (tmp_path / "wordings.json").write_bytes(b"\xff")
    with pytest.raises(DataError, match="cannot be read"):
        evaluate_wordings(source, tmp_path / "wordings.json", 9)
