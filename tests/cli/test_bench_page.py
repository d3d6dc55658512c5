"""The pages that carry the figures of the bench have those of a report, and the repository's pages those of its own."""

from __future__ import annotations

from pathlib import Path

from adapterbot.cli.bench.page import BEGIN, END, figures, front_figures, write_page
from adapterbot.cli.bench.results import Report, Row, Series, read_report

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "report.json"
PAGE = ROOT / "benchmarks" / "README.md"


def example() -> Report:
    """A report with a row of each kind."""
    machine = {"when": "2026-01-01", "processor": "a processor", "cores": 2, "vnni": False, "avx512": False}
    machine |= {"threads": {"smollm2": 1, "gpt2": 2}, "versions": {"torch": "2"}}
    rows = [
        Row("smollm2", "prefill", "tokens/s", (30.0,), "llama.cpp", (10.0,), at_least=3),
        Row("gpt2", "batch 1", "tokens/s", (3.0,), "adapters", (), at_least=1.5, why="not here"),
        Row("start", "help", "s", (0.25,), at_most=0.5),
        Row("gpt2", "batch 1", "tokens/s", (3.0,), "peft", (2.0,)),
    ]
    return Report(machine, False, False, rows, [Series("growth", "skills", "skills", "tokens/s", (1, 8), (5.0, 40.0))])


def test_the_page_has_the_figures_and_keeps_the_rest(tmp_path: Path) -> None:
    front, folder = tmp_path / "README.md", tmp_path / "benchmarks"
    folder.mkdir()
    front.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    (folder / "README.md").write_text("# Benchmarks\n\nby hand\n", encoding="utf-8")
    written = write_page(folder, example())
    assert {path.name for path in written} == {"README.md", "chart.svg"}
    assert len(written) == 3
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# Benchmarks\n\nby hand\n")
    assert "| prefill | tokens/s | 30 | llama.cpp | 10 | 3 | at least 3 x | reached |" in page
    assert "not measured: not here" in page
    assert "Of 3 targets 2 are reached." in page
    assert "| skills | 1 | 8 |" in page
    whole = front.read_text(encoding="utf-8")
    assert whole.startswith("before\n")
    assert whole.endswith("after\n")
    assert "old" not in whole
    before = [path.read_bytes() for path in written]
    assert write_page(folder, example()) == written
    assert [path.read_bytes() for path in written] == before


def section(page: Path) -> str | None:
    """What stands between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    return text.partition(f"{BEGIN}\n")[2].partition(f"\n{END}")[0] if BEGIN in text else None


def test_the_pages_of_the_repository_have_the_figures_of_its_report() -> None:
    if not REPORT.is_file():  # then no page may have any
        assert section(PAGE) is None
        assert section(ROOT / "README.md") in (None, "", "Not measured yet.")
        return
    report = read_report(REPORT)
    assert not report.quick
    assert section(PAGE) == figures(report)
    assert section(ROOT / "README.md") == front_figures(report)
    assert (PAGE.parent / "chart.svg").is_file()
