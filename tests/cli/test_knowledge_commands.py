"""`adapterbot knowledge add` and `rm`, as a user calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapterbot.cli import app
from adapterbot.errors import AdapterbotError
from adapterbot.home import Home

TABLE = "name,area,food,phone,address,postcode,pricerange\nBlue Door,north,greek,555-0100,1 Mill Lane,AB1 2CD,cheap\n"
EVENTS = "\r\n".join(
    [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//us//test//EN", "BEGIN:VEVENT", "UID:1", "SUMMARY:Dentist",
        "DTSTART:20300105T090000", "DTEND:20300105T093000", "END:VEVENT", "END:VCALENDAR", "",
    ]
)  # fmt: skip
FILES = {
    "graph": ("mine.tsv", "Blue Door\tdirected_by\tAnna Petrel\n"),
    "passages": ("mine.txt", "The Quellmar is a river of 240 km. It rises in the hills."),
    "calendar": ("mine.ics", EVENTS),
    "restaurant": ("mine.csv", TABLE),
}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["knowledge", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_added_and_taken_away(name: str, tmp_path: Path, home: Home) -> None:
    file, text = FILES[name]
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    assert run("add", name, str(tmp_path / file)).startswith(f"{name}: ")
    assert [path for path in home.knowledge.rglob("*") if path.is_file()]
    assert run("rm", name) == f"{name}: removed\n"
    assert run("rm", name) == f"{name}: nothing of your own was there\n"


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_valid_is_refused_and_leaves_nothing(name: str, tmp_path: Path, home: Home) -> None:
    bad = tmp_path / FILES[name][0]
    bad.write_bytes(b"\xff\xfe\x00nonsense\x00")
    with pytest.raises(AdapterbotError, match=bad.name):
        run("add", name, str(bad))
    assert not [path for path in home.knowledge.rglob("*") if path.is_file() and not path.name.endswith("lock")]


def test_the_nearest_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(AdapterbotError, match="'restaurant'"):
        run("add", "restaurants", str(tmp_path))
    with pytest.raises(AdapterbotError, match="unknown knowledge 'persona'"):
        run("rm", "persona")
