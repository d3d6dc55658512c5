"""OpenDialKG: some replies get further triples, as a look-up in a graph gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterbot.data.corpora import load


def test_open_dialkg_gets_further_triples_to_learn_from(tmp_path: Path) -> None:
    triple, other = "Quiet Harbour\tdirected_by\tMara Oduya", "Quiet Harbour\thas_genre\tThriller"
    row = """{"id": "%s", "turns": [
        {"speaker": "user", "text": "Who made Quiet Harbour?"},
        {"speaker": "system", "text": "It was Mara Oduya.", "knowledge": ["%s"]},
        {"speaker": "user", "text": "Is it any good?"},
        {"speaker": "system", "text": "It is a thriller and won three Golden Llamas."},
        {"speaker": "user", "text": "Which genre is it?"},
        {"speaker": "system", "text": "A thriller.", "knowledge": ["%s"]}]}"""
    (tmp_path / "dialkg").mkdir()
    for part in ("train", "valid"):
        text = (row % (part, triple, other)).replace("\n", " ").replace("\t", "\\t")
        (tmp_path / "dialkg" / f"{part}.jsonl").write_text(text, encoding="utf-8")
    splits = load("open_dialkg", tmp_path)
    (dialogue,) = splits["train"]
    assert [len(turn.knowledge) for turn in dialogue.turns[::2]] == [0, 0, 0]
    assert dialogue.turns[3].knowledge == (), "what came without triples stays without"
    for turn, own in ((dialogue.turns[1], triple), (dialogue.turns[5], other)):
        assert own in turn.knowledge
        assert set(turn.knowledge) <= {triple, other}
    assert [len(d.turns) for d in splits["valid"]] == [6]
    assert load("open_dialkg", tmp_path) == splits


@pytest.mark.corpora
def test_open_dialkg_as_it_is(corpora: Path) -> None:
    splits = load("open_dialkg", corpora)
    assert len(splits["train"]) > 1_000
    assert len(splits["valid"]) > 50
    assert max(len(t.knowledge) for d in splits["train"] for t in d.turns) <= 5
