"""`adapterbot compare`, as a user calls it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from haiku import write_skill

from adapterbot.cli import main
from adapterbot.cli.console import console
from adapterbot.evaluation.comparison import cells
from adapterbot.evaluation.comparison.cells import Bench, Cell, Job
from adapterbot.home import Home

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(on_tiny: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`adapterbot compare` in this process, on the tiny backbone: exit code, stdout, stderr."""
    monkeypatch.setattr(console, "width", 100)
    monkeypatch.setattr(cells, "ROUNDS", 1)
    monkeypatch.setattr(cells, "TOKENS", 4)

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["adapterbot", "compare", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_types_are_compared_shown_and_written(run: Run, home: Home, tmp_path: Path) -> None:
    write_skill(home, lines=12)
    out, page = tmp_path / "found.json", tmp_path / "page"
    wanted = ("--skills", "haiku", "--types", "residual,prefix,full", "--budget", "2%,40%")
    code, said, err = run(*wanted, "--ablate", "residual", "--json", out, "--page", page)
    assert (code, err) == (0, "")
    assert "prefix cannot have 40% of the backbone's parameters: its largest is prefix, length 128" in said
    assert "4 cells, 0 of them done before" in said
    assert "full tuning's bits per byte" in said
    found = json.loads(out.read_text(encoding="utf-8"))
    made = [("residual", 0.02), ("residual", 0.4), ("prefix", 0.02), ("full", None)]
    assert [(one["type"], one["budget"]) for one in found["cells"]] == made
    assert [one["budget"] for one in found["cells"] if one["ablation"]] == [0.4]
    assert {path.name for path in page.iterdir()} == {"README.md", "pareto.svg", "ablation.svg"}
    for type in ("residual", "prefix", "full"):
        assert f"| haiku | {type} |" in (page / "README.md").read_text(encoding="utf-8")
    code, said, _ = run(*wanted, "--json", out)
    assert code == 0
    assert "4 cells, 4 of them done before" in said


def test_ctrl_c_shows_and_keeps_what_is_done(
    run: Run, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_skill(home, lines=12)
    made = Bench.made

    def interrupted(self: Bench, job: Job) -> Cell:
        if job.seed == 1:
            raise KeyboardInterrupt
        return made(self, job)

    monkeypatch.setattr(Bench, "made", interrupted)
    out = tmp_path / "found.json"
    wanted = ("--skills", "haiku", "--types", "lora", "--budget", "2%", "--seeds", "0,1", "--json", out)
    code, said, err = run(*wanted)
    assert code == 130
    assert err.startswith("adapterbot: stopped; the same command goes on")
    assert "lora" in said
    assert len(json.loads(out.read_text(encoding="utf-8"))["cells"]) == 1
    monkeypatch.setattr(Bench, "made", made)
    code, said, _ = run(*wanted)
    assert (code, "2 cells, 1 of them done before" in said) == (0, True)


def test_skills_are_learnt_one_after_the_other(run: Run, home: Home, tmp_path: Path) -> None:
    write_skill(home, lines=12)
    other = home.skills / "verse"
    other.mkdir()
    for name in ("skill.toml", "talk.jsonl"):
        (other / name).write_bytes((home.skills / "haiku" / name).read_bytes())
    out = tmp_path / "found.json"
    wanted = ("--continual", "--skills", "haiku,verse", "--budget", "2%", "--json", out, "--page", tmp_path)
    code, said, err = run(*wanted)
    assert (code, err) == (0, "")
    assert "5 cells, 0 of them done before" in said
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [one["method"] for one in found["courses"]] == ["residual 2%", "vanilla", "recadam", "ewc", "replay"]
    assert all(len(stage) == 2 for one in found["courses"] for stage in one["bits"])
    assert "| replay | verse |" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert (tmp_path / "stages.svg").is_file()
    code, said, _ = run(*wanted)
    assert (code, "5 cells, 5 of them done before" in said) == (0, True)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (("--types", "lorra"), "unknown adapter type 'lorra'; did you mean 'lora'?"),
        (("--types", "lora,,full"), "--types 'lora,,full' names nothing beside a comma"),
        (("--skills", "haikoo"), "unknown skill 'haikoo'; did you mean 'haiku'?"),
        (("--budget", "1"), "budget '1' has no %: did you mean 1%"),
        (("--budget", "much"), "budget 'much' is no share"),
        (("--seeds", "-1"), "seed '-1' is no whole number of 0 to"),
        (("--rates", "1e-3,fast"), "learning rate 'fast' is none"),
        (("--types", "lora", "--ablate", "full"), "--ablate full is not among --types lora"),
        (
            ("--types", "k_adapter", "--ablate", "k_adapter"),
            "its layers read one another, none goes alone",
        ),
        (("--continual",), "--skills haiku is one: add more"),
        (("--continual", "--skills", "haiku,joy", "--rates", "1e-3"), "--rates is not of --continual"),
        (("--data", "nowhere"), "nowhere does not exist"),
        (("--backbone", "smolm2"), "did you mean 'smollm2'"),
        (
            ("--types", "lora", "--budget", "0.001%"),
            "lora cannot have 0.001% of the backbone's",
        ),
    ],
)
def test_what_makes_no_sense_is_named_before_anything_is_trained(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch, wish: tuple[str, ...], message: str
) -> None:
    write_skill(home)
    monkeypatch.delattr(Bench, "cells")  # nothing is trained
    code, _, err = run(*(() if "--skills" in wish else ("--skills", "haiku")), *wish)
    assert (code, err.count("\n")) == (1, 1)
    assert message in err


def test_help_teaches(run: Run) -> None:
    code, said, _ = run("--help")
    assert code == 0
    said = " ".join(said.split())
    assert "An example: adapterbot compare --types residual,lora,prefix --skills empathetic" in said
    assert "solved for the budget" in said
