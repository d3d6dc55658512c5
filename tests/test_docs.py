"""docs/structure.md names every room and nothing that is not there; CONTRIBUTING.md points to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_architecture import ROOMS

ROOT = Path(__file__).resolve().parent.parent
STRUCTURE = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
OURS = re.compile(
    r"`((?:adapterbot|manager|skills|ui|data|tests|docs|examples|\.ci)/[^`\s]*|[\w.-]+\.(?:toml|txt|md|py))`"
)
COMMON = {"skill.toml", "source.py", "__init__.py"}  # names that many folders have


def paths(page: str) -> list[str]:
    """The paths in a page: between backquotes from the top level, and the targets of links; `<...>` ends one."""
    linked = [target for target in re.findall(r"\]\(([^)#\s]+)", page) if "://" not in target]
    return [path.partition("<")[0] for path in [*OURS.findall(page), *linked] if path not in COMMON]


def test_the_map_has_a_sentence_on_every_room() -> None:
    described = re.findall(r"^\| `(\w+)` \| ([^|]{12,}) \|$", STRUCTURE, re.MULTILINE)
    assert [room for room, _ in described] == [room for row in ROOMS for room in row.split()]


def test_the_map_has_the_rows_of_imports() -> None:
    rows = "\n".join(reversed(ROOMS))
    assert f"```\n{rows}\n```" in STRUCTURE


@pytest.mark.parametrize("stage", range(1, 9))
def test_the_map_has_every_stage_of_the_turn(stage: int) -> None:
    assert re.search(rf"^{stage}\. \*\*", STRUCTURE, re.MULTILINE)


@pytest.mark.parametrize("path", dict.fromkeys(paths(STRUCTURE)))
def test_every_path_of_the_map_is_there(path: str) -> None:
    assert (ROOT / path).exists() or (ROOT / "docs" / path).exists()


@pytest.mark.parametrize("path", dict.fromkeys(paths(CONTRIBUTING)))
def test_every_path_of_contributing_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("contract", ["Source", "Architecture", "AdapterKind", "Cache"])
def test_a_contract_stands_where_the_map_says(contract: str) -> None:
    row = re.search(rf"^\| `{contract}` \| `([^`]+)` \|", STRUCTURE, re.MULTILINE)
    assert row
    assert re.search(rf"^class {contract}\b", (ROOT / row[1]).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_pages_are_short() -> None:
    assert len(STRUCTURE.splitlines()) < 130
    assert len(CONTRIBUTING.splitlines()) < 80
