"""The cards beside heads: what they say is what stands in the file, and every corpus has its licence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from adapterbot.manager.encoder import WEIGHTS
from adapterbot.manager.training import care, tracker
from adapterbot.manager.training.head_card import HeadCard
from adapterbot.manager.training.licences import source_of


@pytest.mark.parametrize("card", [care.CARD, tracker.CARD], ids=lambda card: str(card.title))
def test_the_cards_that_ship_have_the_figures_of_the_files(card: HeadCard) -> None:
    with safe_open(WEIGHTS / card.file, framework="pt") as file:
        (settings,) = (json.loads(text) for text in file.metadata().values())
    rows = [line for line in card.text(settings["metrics"], (), ()).splitlines() if line.startswith("| ")][2:]
    shipped = (WEIGHTS / card.name).read_text(encoding="utf-8")
    assert rows
    assert [row for row in rows if row not in shipped] == []


def test_every_corpus_that_heads_learn_from_has_a_licence() -> None:
    for name in (*care.CORPORA, *tracker.SETS):
        assert "see its source" not in source_of(name), name
    assert source_of("ed") == "ed (CC BY-NC 4.0)"


def test_a_card_names_figures_sources_and_limits(tmp_path: Path) -> None:
    card = HeadCard("Nose", "nose.safetensors", "train-nose", "Tells roses from socks.", "It has a cold.")
    card.write(
        tmp_path, {"roses": {"found": 0.915, "tried": 1200}, "grade": 1.5, "note": "x"}, ["our socks"], ["snips"]
    )
    text = (tmp_path / "nose.md").read_text(encoding="utf-8")
    for part in ("# Nose", "| roses: found | 91.5% |", "| roses: tried | 1,200 |", "| grade | 1.50 |", "- our socks"):
        assert part in text
    assert "- snips (CC0 1.0)" in text
    assert "note" not in text
    assert text.endswith("It has a cold.\n")
