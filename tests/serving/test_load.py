"""benchmarks/load.py measures what a server does, and tells what fails."""

from __future__ import annotations

import asyncio
import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

LOAD: dict[str, Any] = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "load.py"))


def test_a_short_run_over_several_skills(address: str) -> None:
    skills = asyncio.run(LOAD["models"](address))
    assert "adapterbot/chitchat" in skills
    figures = asyncio.run(LOAD["run"](address, skills[:2], clients=3, seconds=0.2, tokens=4))
    assert not figures.failures
    assert len(figures.first) >= 3
    assert max(figures.waited.values()) == len(figures.first)
    assert all(seconds > 0 for seconds in figures.first + figures.per_token)
    cells = [cell.strip() for cell in figures.row().strip("|").split("|")]
    assert cells[:3] == ["2", str(len(figures.first)), "0"]
    assert len(cells) == LOAD["HEAD"].count("|") - 1
    plain = json.loads(json.dumps(figures.plain(), allow_nan=False))
    assert (plain["skills"], plain["requests"], plain["failures"]) == (2, len(figures.first), {})
    assert plain["first_words_p50"] <= plain["first_words_p95"]
    if sys.platform == "linux":
        assert 10 < plain["memory_start"] < 2**20
        assert cells[-1].endswith(" MiB")


def test_failures_are_counted(address: str) -> None:
    figures = asyncio.run(LOAD["run"](address, ["adapterbot/nobody"], clients=1, seconds=0.01, tokens=4))
    assert set(figures.failures) == {"status 404"}
    assert figures.row().startswith(f"| 1 | {len(figures.failures)} | {len(figures.failures)} | - |")


def test_shares() -> None:
    percentile, within = LOAD["percentile"], LOAD["within"]
    assert [percentile([3.0, 1.0, 2.0, 4.0], share) for share in (0.5, 0.95)] == [2.0, 4.0]
    assert math.isnan(percentile([], 0.5))
    assert [within({0.1: 5.0, 1.0: 9.0, math.inf: 10.0}, share) for share in (0.5, 0.6, 0.95)] == [0.1, 1.0, math.inf]
    assert math.isnan(within({0.1: 0.0}, 0.5))


def test_the_table_has_its_own_place_on_the_page() -> None:
    written = LOAD["written"]
    once = written("# Benchmarks\n\n## Engine\n\nfast\n", "| a |")
    assert once.startswith("# Benchmarks\n\n## Engine\n\nfast\n\n## Load\n")
    again = written(once + "\n## Later\n", "| b |")
    assert "| a |" not in again
    assert again.replace("| b |", "| a |") == once + "\n## Later\n"
