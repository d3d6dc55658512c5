"""What is wrong with a command is told before a model is loaded, and all missing libraries at once."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from adapterbot.cli.evaluate import check_request
from adapterbot.cli.requirements import PARTS, install_command, requires
from adapterbot.errors import MissingPartError
from adapterbot.home import DATA

WITHOUT_TORCH = [
    ["respond", "Hi", "--skill", "wheather"],
    ["respond", "Hi", "--backbone", "gpt5"],
    ["respond", "Hi", "--temperature", "9"],
    ["respond", "Hi", "--history", "gone.json"],
    ["respond", " "],
    ["chat", "--session", "../x"],
    ["chat", "--skill", "wheather"],
    ["ui", "--backbone", "gpt5"],
    ["train-skill", "wheather"],
    ["train-skill", "empathetic"],
    ["train-skill", "wiki", "--data", "gone.jsonl"],
    ["evaluate", "wheather"],
    ["evaluate", "manager"],
    ["evaluate", "styles"],
    ["knowledge", "add", "restaurants", "gone.csv"],
    ["knowledge", "rm", "persona"],
]


@pytest.mark.parametrize("arguments", WITHOUT_TORCH, ids=" ".join)
def test_it_is_told_before_a_model_is_loaded(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys, json\n"
        "from adapterbot.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(json.dumps([end.code, 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [1, False]
    assert done.stderr.startswith("adapterbot: ")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `make chat`: none of the libraries of the extra `train` is there."""
    there = importlib.util.find_spec
    absent = {part.module for part in PARTS if part.extra == "train"}

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in absent else there(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.usefixtures("bare")
def test_all_missing_libraries_are_named_with_one_command(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError) as told:
        check_request(["wiki", "manager"], None, tmp_path / "page.html")
    text = str(told.value)
    assert text.startswith("evaluate needs scikit-learn, sacrebleu, matplotlib, which are not installed: ")
    assert text.count("pip install") == 1
    assert "[train]" in text
    with pytest.raises(MissingPartError, match="needs scikit-learn, which is not installed"):
        requires("train-manager", "sklearn")


def test_nothing_is_asked_for_that_is_there() -> None:
    requires("anything", "torch", "tokenizers")


def test_the_command_is_of_this_checkout_or_of_the_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert install_command(["train", "ui"]) == f"{sys.executable} -m pip install -e '{DATA.parent}[train,ui]'"
    monkeypatch.setattr("adapterbot.cli.requirements.DATA", tmp_path / "data")
    assert install_command(["train"]) == f"{sys.executable} -m pip install 'adapterbot[train]'"


def test_every_part_is_what_pyproject_names() -> None:
    import tomllib

    extras = tomllib.loads((DATA.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for part in PARTS:
        listed = extras["optional-dependencies"][part.extra] if part.extra else extras["dependencies"]
        assert any(line.startswith(part.name) for line in listed), part
