"""Everything that README.md tells a reader to type works, and every file it points to is there.

A block that takes too long, waits for a person or needs the network carries its reason on the line before it:
`<!-- not run: reason -->`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import used_before

from adapterbot.home import Home

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+?) -->\s*\n)?"
    r"^(?P<indent> *)```(?P<kind>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)
SHELLS = {"console", "sh", "bash", "shell"}
TRAINING = "adapterbot train-skill haiku"


@dataclass(frozen=True)
class Block:
    line: int
    kind: str
    body: str
    reason: str | None


def blocks() -> Iterator[Block]:
    """The fenced blocks of README.md, in their order."""
    for found in BLOCK.finditer(README):
        line = README.count("\n", 0, found.start("kind")) + 1
        yield Block(line, found["kind"], textwrap.dedent(found["body"]), found["reason"])


def typed(block: Block) -> list[list[str]]:
    """What a reader types in a shell block, in words: in a console block the lines that begin with '$ '."""
    lines = block.body.replace("\\\n", " ").splitlines()
    if block.kind == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    commands = (shlex.split(line, comments=True) for line in lines)
    return [command for command in commands if command]


def shell_blocks() -> list[object]:
    """The shell blocks that are to be run, each under its line."""
    found = [block for block in blocks() if block.kind in SHELLS and block.reason is None]
    return [pytest.param(block, id=f"line {block.line}") for block in found]


def not_run() -> list[object]:
    """The commands of the shell blocks with a reason not to run them, each under its line."""
    return [
        pytest.param(command, id=f"line {block.line}: {' '.join(command)[:60]}")
        for block in blocks()
        if block.kind in SHELLS and block.reason is not None
        for command in typed(block)
    ]


def mentioned() -> list[object]:
    """The commands that stand in a sentence, between backquotes."""
    found = re.findall(r"(?<!`)`(adapterbot [^`\n]+)`", README)
    return [pytest.param(shlex.split(command), id=command) for command in dict.fromkeys(found)]


def targets() -> set[str]:
    """The targets that the Makefile offers to people."""
    return set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def run(command: list[str], folder: Path, prepared: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `command` in a folder that has the checkout's examples, with this environment's scripts and a home of its
    own, in which the default backbone was used before."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    (folder / "examples").symlink_to(ROOT / "examples")
    if prepared is not None:
        used_before(Home(folder / ".adapterbot"), prepared)
    environment = os.environ | {"PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    del environment["ADAPTERBOT_HOME"]  # the README's reader has none
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, timeout=300, capture_output=True, text=True
    )


def test_every_fence_is_understood() -> None:
    assert len(re.findall(r"^\s*```", README, re.MULTILINE)) == 2 * len(list(blocks()))


def test_toml_and_json_blocks_are_valid() -> None:
    for block in blocks():
        if block.kind == "toml":
            tomllib.loads(block.body)
        elif block.kind == "json":
            assert [json.loads(line) for line in block.body.splitlines()], f"line {block.line}"


@pytest.mark.parametrize("block", [pytest.param(b, id=f"line {b.line}") for b in blocks() if b.kind == "python"])
def test_python_block_runs_by_itself(block: Block, tmp_path: Path, prepared: Path) -> None:
    if block.reason:
        compile(block.body, f"README.md:{block.line}", "exec")
        return
    done = run([sys.executable, "-W", "error", "-c", block.body], tmp_path, prepared)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for a POSIX shell")
@pytest.mark.parametrize("block", shell_blocks())
def test_shell_block_runs(block: Block, tmp_path: Path, prepared: Path) -> None:
    commands = typed(block)
    if commands[0][0] == "make":
        assert {word for command in commands for word in command[1:]} <= targets()
        return
    script = block.body.replace(TRAINING, f"{TRAINING} --epochs 1")  # a minute less; the rest as it is written
    done = run(["bash", "-ec", script], tmp_path, prepared)
    assert done.returncode == 0, done.stdout + done.stderr
    if TRAINING in script:
        assert re.search(r"^\[haiku\] \w", done.stdout, re.MULTILINE), done.stdout  # the form takes more epochs


def test_the_skill_shown_is_the_example() -> None:
    shown = next(block.body for block in blocks() if block.kind == "toml" and "three short lines" in block.body)
    assert shown == (ROOT / "examples" / "haiku" / "skill.toml").read_text(encoding="utf-8")
    lines = (ROOT / "examples" / "haiku" / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    line = next(block.body for block in blocks() if block.kind == "json" and "It rains." in block.body)
    assert json.loads(line)["turns"] in [json.loads(each)["turns"] for each in lines]
    assert f"with\n{len(lines)} dialogues" in README


@pytest.mark.parametrize("command", [*not_run(), *mentioned()])
def test_command_that_is_not_run_exists(command: list[str], tmp_path: Path) -> None:
    words = [word for word in command if not re.fullmatch(r"[A-Z_]+=.*", word)]
    if words[0] == "make":
        assert set(words[1:]) <= targets()
    elif words[0] == "adapterbot":
        done = run([*words, "--help"], tmp_path)  # refused when a command or an option of it does not exist
        assert done.returncode == 0, done.stderr


def test_every_file_it_points_to_is_there() -> None:
    pointed = re.findall(r"\]\(([^)#\s]+)[^)]*\)", README) + re.findall(r'src="([^"]+)"', README)
    inside = [target for target in pointed if "://" not in target]
    assert not [target for target in inside if not (ROOT / target).exists()]


def test_the_first_screen_shows_the_two_commands_and_python() -> None:
    screen = "\n".join(README.splitlines()[:60])
    assert "make chat" in screen
    assert "make test" in screen
    assert any(block.kind == "python" for block in blocks())
