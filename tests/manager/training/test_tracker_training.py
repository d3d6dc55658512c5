"""`train-tracker` on a few lines: it learns them, goes by columns, and what it wrote reads as it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from belief_files import states

from adapterbot.data.tracking_lines import Mark
from adapterbot.errors import DataError, WeightsError
from adapterbot.manager.encoder import minilm
from adapterbot.manager.tracker import TRACKER, load_tracker
from adapterbot.manager.training.tracker import TrackerTraining, lines_of_states, train_tracker

SAID = {
    "want": "I want {} please",
    "not": "anything but {}",
    "none": "my aunt had {} yesterday",
    "free": "{} is not needed",
}
FOODS = ("thai", "greek", "french")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.jsonl"
    rows = [
        {
            "topic": "cafe",
            "columns": ["food", "phone"],
            "bot": "",
            "user": form.format(f"[{food}|food|{meaning}]") + (" and its phone" if i % 2 else ""),
            "asked": ["phone"] if i % 2 else [],
            "any": [],
        }
        for i, food in enumerate(FOODS * 4)
        for meaning, form in SAID.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_small_tracker_learns_its_lines_and_is_written(lines: Path, tmp_path: Path) -> None:
    told = list[tuple[int, int, float]]()
    settings = TrackerTraining(epochs=4, first=5, rank=4, rate=3e-3, batch=12)
    none = tmp_path / "queries.jsonl"
    none.write_text("")
    report = train_tracker(None, minilm(), tmp_path / "out", settings, lambda *step: told.append(step), lines, none)
    assert told[-1][0] == told[-1][1] == len(told)
    losses = [loss for _, _, loss in told]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert set(report) == {"own lines"}
    tracker = load_tracker(tmp_path / "out" / TRACKER, minilm())
    assert tracker.settings.metrics == report
    reading = tracker.read("", "anything but danish", [Mark("user", 13, 19, "food")], ["food", "phone"])
    assert len(reading.meanings) == 1
    assert not reading.asked - {"food", "phone"}


def test_states_are_read_by_set(tmp_path: Path) -> None:
    states(tmp_path, "train")
    assert len(lines_of_states(tmp_path, "train", 0)) == 5
    with pytest.raises(DataError, match=r"no NAME/valid\.jsonl\.gz of multiwoz"):
        lines_of_states(tmp_path, "valid", 0)


def test_a_file_that_is_no_tracker_is_named(tmp_path: Path) -> None:
    path = tmp_path / TRACKER
    path.write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match=TRACKER):
        load_tracker(path, minilm())
