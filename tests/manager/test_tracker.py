"""The state tracker that ships: how it judges lines that it has not learnt, its form, and what is too long."""

from __future__ import annotations

import pytest

from adapterbot.data.tracking_lines import Mark, TrackingLine, own_lines
from adapterbot.manager.tracker import MOST_COLUMNS, columns_of, shipped_tracker, words_of
from adapterbot.manager.training.tracker import measured


def test_lines_that_it_has_not_learnt_are_understood() -> None:
    _, valid = own_lines()
    figures = measured(shipped_tracker(), valid)
    assert figures["values"] >= 0.82
    assert {name: figures[f"F1 {name}"] for name in ("want", "not", "none", "asked")} == pytest.approx(
        {"want": 1.0, "not": 1.0, "none": 1.0, "asked": 1.0}, abs=0.25
    )


def test_a_reading_does_not_depend_on_what_else_is_read() -> None:
    lines = own_lines()[1][:12]
    tracker = shipped_tracker()
    together = tracker.readings(lines)
    for line, reading in zip(lines, together, strict=True):
        (alone,) = tracker.readings([line])
        assert alone == reading


def test_no_columns_no_values_and_a_flood_of_both() -> None:
    tracker = shipped_tracker()
    assert tracker.read("", "hello", [], []).meanings == ()
    many = [f"column {i}" for i in range(200)]
    far = Mark("user", 4_000, 4_004, many[150])
    reading = tracker.read("bot " * 300, "word " * 1_000, [far, Mark("bot", 0, 3, many[199])], many)
    assert len(reading.meanings) == 2
    kept = columns_of(TrackingLine("", "", (far,), tuple(many)))
    assert len(kept) == MOST_COLUMNS
    assert many[150] in kept


@pytest.mark.parametrize(
    ("column", "words"),
    [("priceRange", "price range"), ("leaveAt", "leave at"), ("price_range", "price range"), ("Größe", "größe")],
)
def test_names_of_columns_are_read_as_words(column: str, words: str) -> None:
    assert words_of(column) == words
