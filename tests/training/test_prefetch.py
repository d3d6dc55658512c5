"""Work that other processes do ahead."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from adapterbot.training.prefetch import Ahead, spare_cores

forks = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")


@forks
def test_the_next_items_are_made_in_other_processes(tmp_path: Path) -> None:
    def work(number: int) -> None:
        (tmp_path / f"{number}").write_text(str(os.getpid()))

    ahead = Ahead(work, workers=2)
    ahead.need(0, last=4)
    ahead.need(1, last=4)  # waits for 1, begins with 3
    assert (tmp_path / "1").is_file()
    for number in (2, 3, 4):
        ahead.need(number, last=4)
        assert (tmp_path / f"{number}").read_text() != str(os.getpid())
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["1", "2", "3", "4"]  # 0 is the user's


@forks
def test_what_is_not_needed_any_more_is_ended(tmp_path: Path) -> None:
    def work(number: int) -> None:
        (tmp_path / f"{number}").write_text("begun")
        time.sleep(60)

    ahead = Ahead(work, workers=3)
    ahead.need(0, last=9)
    started = time.monotonic()
    ahead.stop()
    assert time.monotonic() - started < 30


def test_without_workers_nothing_is_done_ahead() -> None:
    def work(number: int) -> None:
        raise AssertionError(number)

    ahead = Ahead(work, workers=0)
    ahead.need(0, last=9)
    ahead.stop()
    assert spare_cores() >= 0
