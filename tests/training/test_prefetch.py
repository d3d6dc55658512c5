"""Work that other processes do prefetcher."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from adapterbot.training.prefetch import Prefetcher, spare_cores

forks = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")


@forks
def test_the_next_items_are_made_in_other_processes(tmp_path: Path) -> None:
    def work(number: int) -> None:
        (tmp_path / f"{number}").write_text(str(os.getpid()))

    prefetcher = Prefetcher(work, workers=2)
    prefetcher.need(0, last=4)
    prefetcher.need(1, last=4)  # waits for 1, begins with 3
    assert (tmp_path / "1").is_file()
    for number in (2, 3, 4):
        prefetcher.need(number, last=4)
        assert (tmp_path / f"{number}").read_text() != str(os.getpid())
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["1", "2", "3", "4"]  # 0 is the user's


@forks
def test_what_is_not_needed_any_more_is_ended(tmp_path: Path) -> None:
    def work(number: int) -> None:
        (tmp_path / f"{number}").write_text("begun")
        time.sleep(60)

    prefetcher = Prefetcher(work, workers=3)
    prefetcher.need(0, last=9)
    started = time.monotonic()
    prefetcher.stop()
    assert time.monotonic() - started < 30


def test_without_workers_nothing_is_done_ahead() -> None:
    def work(number: int) -> None:
        raise AssertionError(number)

    prefetcher = Prefetcher(work, workers=0)
    prefetcher.need(0, last=9)
    prefetcher.stop()
    assert spare_cores() >= 0
