"""What a comparison says of its cells: rows, tables, the gap to full tuning, JSON, a page with pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapterbot.evaluation.comparison.ablation import Ablation, Span
from adapterbot.evaluation.comparison.budget import Unreachable
from adapterbot.evaluation.comparison.cells import Cell
from adapterbot.evaluation.comparison.page import ADAPTERS, write_page
from adapterbot.evaluation.comparison.report import Comparison

ABOUT = {
    "when": "2026-01-01",
    "device": "a processor",
    "backbone": "tiny",
    "parameters": 1_000_000,
    "data": {"wiki": "corpus w"},
    "tokens": 2000,
    "seeds": [0, 1],
}


def cell(type: str, bits: float, budget: float | None = 0.01, **fields: Any) -> Cell:
    given: dict[str, Any] = {
        "skill": "wiki",
        "seed": 0,
        "rate": 1e-3,
        "settings": f"{type}, rank 2",
        "parameters": 10_000,
        "share": budget or 0.8,
        "perplexity": 2**bits,
        "bare_bits_per_byte": 2.0,
        "bare_perplexity": 40.0,
        "memory": 12_000,
        "training_memory": 3_000_000,
        "tokens": 2000,
        "steps": 9,
        "training_rate": 100.0,
        "decoding_rate": 20.0,
        "decoding_ratio": 0.9,
    }
    return Cell(type=type, bits_per_byte=bits, budget=budget, **{**given, **fields})


def comparison(*cells: Cell, **more: Any) -> Comparison:
    return Comparison(ABOUT, list(cells), **more)


def test_a_row_has_the_seeds_of_the_best_rate() -> None:
    found = comparison(
        cell("lora", 1.5, seed=0),
        cell("lora", 1.7, seed=1),
        cell("lora", 1.0, rate=1e-2, seed=0),
        cell("lora", 2.6, rate=1e-2, seed=1),  # better once, worse on average
        cell("lora", 1.2, budget=0.03),
    )
    small, large = found.rows
    assert (small.name, small.first.rate, len(small.cells)) == (("wiki", "lora", 0.01), 1e-3, 2)
    assert small.bits == pytest.approx(1.6)
    assert small.spread == pytest.approx(0.1414, abs=1e-3)
    assert (large.bits, large.spread) == (1.2, None)


def test_the_gain_is_that_of_the_tuned_copy() -> None:
    found = comparison(cell("lora", 1.25), cell("full", 1.0, None), cell("lora", 1.0, skill="joy"))
    lora, full, other = found.rows
    assert (found.gain(lora), found.gain(full), found.gain(other)) == (0.75, 1.0, None)
    assert comparison(cell("lora", 1.0), cell("full", 2.1, None)).gain(lora) is None, "it gained nothing"


def test_whether_adapters_come_near_full_tuning_is_said_either_way() -> None:
    near = comparison(cell("lora", 1.009, 0.03), cell("prefix", 1.005, 0.01), cell("full", 1.0, None)).verdicts()
    smallest = "prefix, rank 2 (1.00% of the parameters)"
    assert near == [f"wiki: the smallest adapter within 1% of full tuning's bits per byte is {smallest}."]
    (far,) = comparison(cell("lora", 1.02), cell("prefix", 1.5), cell("full", 1.0, None)).verdicts()
    assert "no adapter here comes within 1%" in far
    assert "lora, rank 2 (1.00% of the parameters), is 2.0% above it" in far
    assert not comparison(cell("lora", 1.0)).verdicts()


def test_the_tables_stand_beside_the_bare_backbone_and_fit_a_terminal() -> None:
    worth, cost = comparison(cell("k_adapter", 1.25, 0.005, seed=0), cell("full", 1.0, None)).grids()
    assert worth.rows == (
        ("wiki", "bare", "", "0%", "2.0000", "40.00", ""),
        ("wiki", "k_adapter", "0.5%", "0.50%", "1.2500", f"{2**1.25:.2f}", "75%"),
        ("wiki", "full", "", "80.00%", "1.0000", "2.00", "100%"),
    )
    assert cost.rows[0] == ("wiki", "k_adapter", "0.5%", "rank 2", "0.01", "3", "100", "0.90")
    for grid in (worth, cost):
        widths = [max(len(row[i]) for row in (grid.head, *grid.rows)) for i in range(len(grid.head))]
        assert sum(widths) + len(widths) <= 80


def test_json_has_the_cells_and_what_comes_of_them(tmp_path: Path) -> None:
    found = comparison(cell("lora", 1.25), cell("full", 1.0, None), unreachable=[Unreachable("pals", 0.5, "too wide")])
    found.write(tmp_path / "found.json")
    read = json.loads((tmp_path / "found.json").read_text())
    assert read["about"] == ABOUT
    assert [one["bits_per_byte"] for one in read["cells"]] == [1.25, 1.0]
    assert [one["share_of_full_gain"] for one in read["rows"]] == [0.75, 1.0]
    assert read["unreachable"][0]["why"] == "too wide"


def test_a_page_keeps_what_stands_around_and_its_pictures_stay_the_same(tmp_path: Path) -> None:
    spans = tuple(Span(i, j, 1.3 + 0.1 * (j - i)) for i in range(3) for j in range(i, 3))
    taken_out = Ablation(1.25, 2.0, spans)
    found = comparison(
        cell("lora", 1.25, ablation=taken_out),
        cell("lora", 1.1, 0.03),
        cell("full", 1.0, None),
        cell("lora", 1.9, skill="joy"),
        unreachable=[Unreachable("pals", 0.5, "its largest is small")],
    )
    (tmp_path / "README.md").write_text(f"before\n{ADAPTERS[0]}\nold\n{ADAPTERS[1]}\nafter\n", encoding="utf-8")
    written = write_page(tmp_path, found)
    assert [path.name for path in written] == ["README.md", "pareto.svg", "ablation.svg"]
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "| wiki | lora | 1% | 1.00% | 1.2500 |" in page
    assert "pals cannot have 50% of the backbone's parameters: its largest is small." in page
    assert "no adapter here comes within 1%" in page
    pictures = {path.name: path.read_text(encoding="utf-8") for path in written[1:]}
    for text in ("lora", "full", "bare backbone", "joy"):
        assert f"<!-- {text} -->" in pictures["pareto.svg"]
    assert all(f"<!-- {span.bits_per_byte - 1.25:.2f} -->" in pictures["ablation.svg"] for span in spans)
    before = [path.read_bytes() for path in written]
    assert write_page(tmp_path, found) == written
    assert [path.read_bytes() for path in written] == before
