"""`adapterbot knowledge add` and `rm`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapterbot.cli import app
from adapterbot.errors import AdapterbotError
from adapterbot.home import Home
from adapterbot.knowledge.passages.added import OwnPassages

TABLE = "name,area,food,phone,address,postcode,pricerange\nBlue Door,north,greek,555-0100,1 Mill Lane,AB1 2CD,cheap\n"
EVENTS = "\r\n".join(
    [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//us//test//EN",
        "BEGIN:VEVENT",
        "UID:1",
        "SUMMARY:Dentist",
        "DTSTART:20300105T090000",
        "DTEND:20300105T093000",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
)
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


def test_what_ships_and_what_is_ones_own_is_listed(tmp_path: Path, home: Home) -> None:
    shipped = json.loads(run("list", "--json"))
    assert shipped["passages"] == [{"what": "540 passages that ship", "own": False}]
    assert shipped["calendar"] == []
    assert shipped.keys() >= {"graph", "restaurant", "hotel", "taxi", "train", "attraction", "navigation"}
    assert "calendar    nothing; adapterbot knowledge add calendar FILE" in run("list").splitlines()
    for name, (file, text) in FILES.items():
        (tmp_path / file).write_text(text, encoding="utf-8", newline="")
        run("add", name, str(tmp_path / file))
    own = {
        name: [row["what"] for row in rows if row["own"]] for name, rows in json.loads(run("list", "--json")).items()
    }
    assert own["passages"] == [f"1 passage of {tmp_path / 'mine.txt'}"]
    assert own["graph"] == [f"1 triple in {home.knowledge / 'graph.tsv'}"]
    assert own["calendar"] == [f"1 event in {home.knowledge / 'calendar.ics'}"]
    assert own["restaurant"][0].startswith("1 row in ")
    assert own["hotel"] == []
    assert run("list", "restaurant").startswith("restaurant  yours: 1 row in ")
    with pytest.raises(AdapterbotError, match="did you mean 'restaurant'"):
        run("list", "restaurants")


def test_one_file_of_passages_is_taken_away(tmp_path: Path, home: Home) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("a", "b", "c"):
        (notes / f"{name}.txt").write_text(f"The {name} river is long.\n\nIt flows by the {name} hill.")
    run("add", "passages", str(notes))
    (notes / "b.txt").unlink()
    assert run("rm", "passages", str(notes / "b.txt")) == "passages: 1 removed, 2 of yours left\n"
    assert not [line for line in run("list", "passages").splitlines() if "b.txt" in line]
    index = OwnPassages(home).index()
    assert index is not None
    assert not index.search(["b"], 5)
    assert index.search(["c"], 5)
    with pytest.raises(AdapterbotError, match=r"unknown file of passages 'b.txt'"):
        run("rm", "passages", "b.txt")
    assert run("rm", "passages", "a.txt") == "passages: 1 removed, 1 of yours left\n", "by its name alone"
    assert run("rm", "passages", str(notes)) == "passages: 1 removed, none of yours left\n", "all below a folder"
    assert OwnPassages(home).index() is None
    with pytest.raises(AdapterbotError, match="one file of yours at a time"):
        run("rm", "graph", "mine.tsv")


def test_the_help_of_add_says_which_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = run("add", "--help")
    assert "train: needs trainID, day, departure, destination, leaveAt, arriveBy; knows duration, price." in text


def test_the_nearest_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(AdapterbotError, match="'restaurant'"):
        run("add", "restaurants", str(tmp_path))
    with pytest.raises(AdapterbotError, match="unknown knowledge 'persona'"):
        run("rm", "persona")
