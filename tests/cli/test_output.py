"""Nothing that users or files bring makes a terminal do something; JSON stays JSON."""

from __future__ import annotations

import builtins
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from adapterbot.bot import Bot
from adapterbot.cli import main
from adapterbot.cli.console import PlainConsole
from adapterbot.cli.output import json_text, printable, say, warn
from adapterbot.cli.talk import talk
from adapterbot.home import Home

HOSTILE = "\x1b]0;pwned\x07\x1b[2J\r\x08\x9b31m\u202ered\u2066\u2028"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SPEC = """summary = "red \\u001b[31m, over \\u202e, [bold]bracket[/bold]"
group = "conversation"
adapter = false
decode = { max_tokens = 4 }
knowledge = { source = "persona", lines = ["I am \\u001b[2J\\u009b31m a \\u202e cook"] }
"""


@given(st.text())
def test_what_is_printable_has_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = printable(text + HOSTILE)
    assert not OBEYED.search(shown)
    assert printable(shown) == shown


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text + "\n\tשלום 👩‍🌾") == text + "\n\tשלום 👩‍🌾"


@given(st.recursive(st.text() | st.floats(allow_nan=False), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_says_the_same_without_them(value: object) -> None:
    text = json_text({"a": value, "b": HOSTILE + "\ud800"})
    assert not OBEYED.search(text)
    assert json.loads(text) == {"a": value, "b": HOSTILE + "\ud800"}


def test_an_error_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    warn(f"adapterbot: a\nb{HOSTILE}")
    assert capsys.readouterr().err.startswith("adapterbot: a\\nb\\x1b]0;pwned\\x07")


def test_an_encoding_without_the_character_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    say("a … \ud800")
    out.seek(0)
    assert out.read() == "a \\u2026 \\ud800\n"


def test_a_table_keeps_its_columns_and_shows_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", "text")
    table.add_row("a", f"[bold]x[/wrong] {HOSTILE}")
    table.add_row("b", "y")
    PlainConsole().print(table)
    out = capsys.readouterr().out
    assert not OBEYED.search(out)
    assert "[bold]x[/wrong]" in out
    assert len({len(line) for line in out.splitlines()[1:]}) == 1, "all lines of a table have one width"


@pytest.fixture
def hostile(home: Home) -> Path:
    """A skill of the user's whose summary and facts hold what terminals obey."""
    folder = home.skills / "hostile"
    folder.mkdir(parents=True)
    (folder / "skill.toml").write_text(SPEC, encoding="utf-8")
    return folder


@pytest.mark.parametrize("options", [["skills"], ["skills", "--json"], ["skills", "--check"]])
def test_a_summary_reaches_the_terminal_written_out(
    hostile: Path, options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["adapterbot", *options])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    assert not OBEYED.search(said.out + said.err)
    assert "\\x1b[31m" in said.out or "\\u001b[31m" in said.out
    assert "[bold]bracket[/bold]" in said.out


def test_facts_of_a_talk_are_written_out(
    hostile: Path, tiny_bot: Bot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["Who are you?", f"/skill {HOSTILE}", "/quit"])
    monkeypatch.setattr(builtins, "input", lambda *_: next(lines))
    talk(tiny_bot, "anna", "hostile", {"seed": 1})
    out = capsys.readouterr().out
    assert "I am \\x1b[2J" in out
    assert not OBEYED.search(out)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")
@pytest.mark.parametrize(
    "options",
    [
        ["respond", "Hi", "--skill", HOSTILE],
        ["respond", "Hi", f"--{HOSTILE}"],
        ["sessions", "show", HOSTILE],
        [HOSTILE],
        ["knowledge", "add", "graph", f"gone{HOSTILE}.tsv"],
        ["train-skill", "wiki", "--data", HOSTILE],
    ],
    ids=lambda options: " ".join(options).encode("ascii", "backslashreplace").decode()[:30],
)
def test_a_real_terminal_gets_no_byte_that_it_obeys(options: list[str], home: Home, tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from adapterbot.cli import main; main()", *options]
    environment = os.environ | {"ADAPTERBOT_HOME": str(home.root), "TERM": "xterm-256color", "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=tmp_path, timeout=60, check=False
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert done.returncode in (1, 2)
    text = shown.decode("utf-8").replace("\r\n", "\n")
    assert text.startswith("adapterbot: ")
    assert "\\x1b]0;pwned" in text
    assert not OBEYED.search(text)
