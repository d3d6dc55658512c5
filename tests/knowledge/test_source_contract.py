"""The contract of a source: one folder adds a kind, lines are read back as what they stand for, facts travel whole."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
import pickle
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from evidence import ranked
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from adapterbot import facts as facts_module
from adapterbot import knowledge
from adapterbot.bot import Bot
from adapterbot.cli import app
from adapterbot.data.dialogue import read_dialogues
from adapterbot.errors import KnowledgeError, UnknownNameError
from adapterbot.facts import (
    Answer,
    Count,
    Day,
    Event,
    Fact,
    Forecast,
    Nothing,
    Notice,
    Passage,
    PersonaLine,
    Row,
    Triple,
    Verdict,
    row_line,
)
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, Source, Stock, kinds, open_source, source_class
from adapterbot.knowledge.calendar.source import READ_ONLY
from adapterbot.knowledge.weather.source import NO_PLACE
from adapterbot.language.text import Text
from adapterbot.language.values import unsupported
from adapterbot.network.backbone import Backbone
from adapterbot.reply.grounding import Evidence
from adapterbot.spec.folders import SkillFolders
from adapterbot.turn import Draft
from adapterbot.ui.evidence import evidence_html
from adapterbot.ui.lists import picker_html

# -- a kind that one folder adds --------------------------------------------------------------------------------------

ECHO = '''
"""A row of what was just said, and of the note that the user left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Fact, Row
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Advance, Opening, Source, Stock
from adapterbot.knowledge.lines import read_row


class EchoSource(Source):
    files = "a note"

    def __init__(self, home: Home) -> None:
        self._note = home.knowledge / "echo.txt"

    @classmethod
    def open(cls, opening: Opening) -> EchoSource:
        return cls(opening.home)

    def retrieve(self, history: History) -> list[Fact]:
        note = self._note.read_text(encoding="utf-8") if self._note.is_file() else ""
        cells = (("said", history.last_user), ("note", note))
        kept = tuple((name, value) for name, value in cells if value)
        return [Row("echo", "", kept, source="echo", note="just said", score=1.0)]

    @classmethod
    def read_line(cls, line: str) -> Fact:
        return read_row(line, "echo")

    @classmethod
    def add(cls, path: Path, home: Home, name: str, advance: Advance = lambda count: None) -> str:
        text = path.read_text(encoding="utf-8").strip()
        if not text:
            raise KnowledgeError(f"{path}:1: empty")
        home.knowledge.mkdir(parents=True, exist_ok=True)
        (home.knowledge / "echo.txt").write_text(text, encoding="utf-8")
        advance(1)
        return f"a note of {len(text)} characters"

    @classmethod
    def forget(cls, home: Home, name: str) -> bool:
        there = (home.knowledge / "echo.txt").is_file()
        (home.knowledge / "echo.txt").unlink(missing_ok=True)
        return there

    @classmethod
    def stock(cls, home: Home, name: str) -> Sequence[Stock]:
        return (Stock("a note", own=True),) if (home.knowledge / "echo.txt").is_file() else ()


SOURCE = EchoSource
'''
SKILL = """
summary = "Says what you said."
group = "task"
adapter = false

[knowledge]
source = "echo"

[routing]
auto = false
"""
SAID = "Marlow Quellmar is in the north."


@pytest.fixture
def echo(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder `echo` among those of the sources, and a skill `repeat` that names it."""
    folder = tmp_path / "more" / "echo"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "source.py").write_text(ECHO, encoding="utf-8")
    skill = home.skills / "repeat"
    skill.mkdir(parents=True)
    (skill / "skill.toml").write_text(SKILL, encoding="utf-8")
    monkeypatch.setattr(knowledge, "__path__", [*knowledge.__path__, str(folder.parent)])
    importlib.invalidate_caches()
    yield
    vars(knowledge).pop("echo", None)
    for name in [name for name in sys.modules if name.startswith("adapterbot.knowledge.echo")]:
        del sys.modules[name]


@pytest.fixture
def repeating(echo: None, tiny: Backbone, home: Home) -> Bot:
    """A bot on the tiny backbone that has the skill `repeat`."""
    return Bot(tiny, home, log=False)


def run(*arguments: str) -> str:
    """The output of a command that has to succeed."""
    result = CliRunner().invoke(app, [*arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_kind_is_there_while_its_folder_is() -> None:
    assert "echo" not in kinds()
    with pytest.raises(UnknownNameError, match="'echo'"):
        source_class("echo")


def test_a_folder_adds_a_kind(echo: None) -> None:
    assert "echo" in kinds()
    assert issubclass(source_class("echo"), Source)
    assert source_class("echo").files == "a note"


def test_a_turn_has_its_typed_facts(repeating: Bot) -> None:
    assert "repeat" in repeating.skills
    reply = repeating.respond(SAID, skill="repeat", seed=1, max_tokens=8)
    assert reply.facts == (Row("echo", "", (("said", SAID),), source="echo", note="just said", score=1.0),)
    lines = repeating.respond("Hi!", skill="repeat", seed=1, max_tokens=8, facts=["said: Quellmar, area: north"])
    assert lines.facts == (Row("echo", "", (("said", "Quellmar"), ("area", "north")), source="caller"),)


def test_its_skill_is_checked_and_listed(echo: None, on_tiny: None) -> None:
    rows = {row["name"]: row for row in json.loads(run("skills", "--json"))}
    about = rows["repeat"]
    assert (about["group"], about["adapter"], about["problem"]) == ("task", "backbone alone", "")


def test_users_add_to_it_and_take_away(repeating: Bot, home: Home, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("Kestrel at 7pm\n", encoding="utf-8")
    assert run("knowledge", "add", "echo", str(path)) == "echo: a note of 14 characters\n"
    assert source_class("echo").stock(home, "echo") == (Stock("a note", own=True),)
    (fact,) = repeating.respond(SAID, skill="repeat", seed=1, max_tokens=8).facts
    assert fact.row == (("said", SAID), ("note", "Kestrel at 7pm"))
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(KnowledgeError, match=r"note\.txt:1: empty"):
        run("knowledge", "add", "echo", str(path))
    assert run("knowledge", "rm", "echo") == "echo: removed\n"
    assert run("knowledge", "rm", "echo") == "echo: nothing of your own was there\n"
    assert source_class("echo").stock(home, "echo") == ()


def test_the_app_shows_its_facts(repeating: Bot) -> None:
    reply = repeating.respond("Tell me about <b>Marlow</b> please.", skill="repeat", seed=1, max_tokens=8)
    page = evidence_html(reply, repeating.specs)
    assert '<th scope="row">said</th><td dir="auto">Tell me about &lt;b&gt;Marlow&lt;/b&gt; please.</td>' in page
    assert "<figcaption>echo · just said · score 1.00</figcaption>" in page
    picker = picker_html(repeating.specs, repeating.skills)
    assert '<option value="repeat">repeat: Says what you said.</option>' in picker


def test_the_strict_check_holds_its_replies_to_its_rows(repeating: Bot) -> None:
    spec = repeating.specs["repeat"]
    facts = repeating.respond(SAID, skill="repeat", seed=1, max_tokens=8).facts
    evidence = Evidence.of(spec, facts)
    assert evidence
    assert evidence.strict
    assert evidence.against(Text("Marlow Quellmar is in the south."), ()) == ["south"]
    assert evidence.against(Text("Marlow Quellmar is in the north, call 555-0199."), ()) == ["555", "0199"]
    assert evidence.against(Text("Marlow Quellmar is in the north."), ()) == []
    made = [Draft("Call 555-0199 in the south.", -0.1), Draft("Marlow is in the north.", -3.0)]
    assert ranked(made, [SAID], evidence)[0].text == made[1].text
    told = ranked(made[:1], [SAID], evidence)[0].text
    assert told == f"Here is what I have: said {SAID}."


def test_no_value_that_its_rows_lack_is_ever_shown(repeating: Bot) -> None:
    """The tiny backbone says anything: what it makes up has to be among the drafts and must not be the reply."""
    made_up = 0
    for seed in range(6):
        reply = repeating.respond(SAID, skill="repeat", seed=seed, drafts=2, max_tokens=12)
        lines = [fact.line for fact in reply.facts]
        assert unsupported(reply.text, lines, [SAID]) == []
        made_up += sum(bool(unsupported(draft.text, lines, [SAID])) for draft in reply.drafts)
    assert made_up


# -- lines, and what they stand for -----------------------------------------------------------------------------------

DAYS = tuple(
    Day(name, "sunny", 40 + i, 50 + i)
    for i, name in enumerate(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"))
)
FORECAST = Forecast("oslo", DAYS, "friday", source="weather", note="Oslo, Norway")
LUNCH = Event(
    "Lunch with Laura",
    datetime(2026, 3, 4, 12, 30),
    datetime(2026, 3, 4, 13, 30),
    "Quay Street",
    said=(("event", "lunch"), ("time", "12:30pm"), ("date", "wednesday the 4th"), ("party", "Laura, Tom and Ana")),
    source="calendar",
    score=0.8,
)
FIG = Row(
    "restaurant",
    "Golden Fig",
    (("address", "1 Mill Lane, North"), ("name", "Golden Fig"), ("entrance fee", "free"), ("phone", "555: 0187")),
    source="table",
    note="1 of 2",
    score=1.0,
)
# What a source of each kind finds, and what is read from its line. What no line says is lost: a title, a claim, times.
LINES: dict[str, list[tuple[Fact, Fact]]] = {
    "calendar": [
        (LUNCH, Row("calendar", "lunch", LUNCH.said)),
        (READ_ONLY, Notice("calendar", "can only be read")),
        (Answer("count", "3", "There are three."), Passage("", "There are three.")),
        (Nothing("calendar", "no such event"), Nothing("calendar", "no such event")),
    ],
    "claims": [
        (Verdict("Tea", "supported", "Tea: it wakes.\nMostly."), Verdict("", "supported", "Tea: it wakes.\nMostly.")),
        (Verdict("Tea", "contradicted", "No, it wakes."), Verdict("", "contradicted", "No, it wakes.")),
        (Verdict("", "not known"), Verdict("", "not known")),
        (Passage("Tea", "verdict: a song"), Passage("", "verdict: a song")),
        (Passage("Tea", "supported"), Passage("", "supported")),
    ],
    "graph": [
        (Triple("Jaws", "directed_by", "Steven Spielberg"), Triple("Jaws", "directed_by", "Steven Spielberg")),
        (Nothing("graph", "nothing found"), Nothing("graph", "nothing found")),
        (Passage("", "Jaws is a film."), Passage("", "Jaws is a film.")),
    ],
    "none": [
        (Passage("", "Anything: at all, said: so"), Passage("", "Anything: at all, said: so")),
        (Nothing("anything"), Nothing("anything", "none")),
    ],
    "passages": [
        (Passage("Jazz", "Jazz is music: loud, name: soft."), Passage("", "Jazz is music: loud, name: soft.")),
        (Nothing("covid", "nothing was found"), Nothing("covid", "nothing was found")),
    ],
    "persona": [
        (PersonaLine("My name is: Ada.", source="persona", score=1.0), PersonaLine("My name is: Ada.")),
        (PersonaLine("cats: none"), PersonaLine("cats: none")),
    ],
    "table": [
        (FIG, Row("", "Golden Fig", FIG.cells)),
        (Count(40, "restaurant", source="table"), Count(40, "restaurant")),
        (Nothing("restaurant", source="table", note="0 for food=thai"), Nothing("restaurant", "none")),
    ],
    "weather": [
        (FORECAST, FORECAST),
        (replace(FORECAST, today="someday"), Row("weather", "oslo", replace(FORECAST, today="someday").row)),
        (NO_PLACE, Notice("place", "not given")),
        (Nothing("forecast", "not available"), Nothing("forecast", "not available")),
    ],
}
CASES = [(kind, found, read) for kind, pairs in LINES.items() for found, read in pairs]
FACT_KINDS = {
    kind
    for kind in vars(facts_module).values()
    if isinstance(kind, type) and issubclass(kind, Fact) and kind is not Fact
}
FACTS: dict[type[Fact], Fact] = {type(found): found for _, found, _ in CASES}


def own_fields(fact: Fact) -> dict[str, object]:
    """Its fields without those that say how it was found."""
    common = {field.name for field in dataclasses.fields(Fact)}
    return {f.name: getattr(fact, f.name) for f in dataclasses.fields(fact) if f.name not in common}


def test_every_kind_has_its_lines_here() -> None:
    assert sorted(LINES) == sorted(kinds())
    assert set(FACTS) == FACT_KINDS


@pytest.mark.parametrize(("kind", "found", "read"), CASES)
def test_a_line_is_read_as_the_fact_that_it_stands_for(kind: str, found: Fact, read: Fact) -> None:
    fact = source_class(kind).read_line(found.line)
    assert type(fact) is type(read)
    assert own_fields(fact) == own_fields(read)
    assert fact.line == found.line
    assert (fact.row, fact.names) == (found.row, found.names)


WORD = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
VALUE = st.lists(WORD, min_size=1, max_size=3).map(" ".join)
COLUMN = st.from_regex(r"[a-z]{1,6}( [a-z]{1,6})?", fullmatch=True)


@given(st.dictionaries(COLUMN, VALUE, min_size=2, max_size=6))
def test_any_clean_row_is_read_back(cells: dict[str, str]) -> None:
    row = source_class("table").read_line(row_line(cells.items()))
    assert isinstance(row, Row)
    assert row.cells == tuple(cells.items())


@given(st.text(max_size=80))
def test_no_line_changes_by_being_read(line: str) -> None:
    for kind in kinds():
        assert source_class(kind).read_line(line).line == line


@pytest.mark.parametrize(
    ("skill", "message", "type_"),
    [
        ("calendar", "when is the dentist?", Event),
        ("calendar", "Add lunch on Friday", Notice),
        ("calendar", "when is the zebra parade?", Nothing),
        ("covid_claims", "Garlic cures covid.", Verdict),
        ("covid_claims", "The bus is late.", Verdict),
        ("covid_qa", "What is a cytokine storm?", Passage),
        ("covid_qa", "Who won the world cup in 1998?", Nothing),
        ("graph", "Who directed Jaws?", Triple),
        ("graph", "Who directed Xyzzyqqq?", Nothing),
        ("persona", "Do you have a cat?", PersonaLine),
        ("restaurant", "an italian restaurant in the centre", Row),
        ("restaurant", "I want to eat.", Count),
        ("restaurant", "do you have eritrean food?", Nothing),
        ("weather", "Will it rain in Oslo?", Forecast),
        ("weather", "Will it rain?", Notice),
        ("weather", "Will it rain in Xyzzy?", Nothing),
        ("wiki", "Tell me something about jazz.", Passage),
    ],
)
def test_what_a_shipped_skill_finds_is_typed_and_read_back(
    skill: str, message: str, type_: type[Fact], home: Home
) -> None:
    spec = SkillFolders(home).load(skill)
    found = open_source(Opening(spec, home, demo=True)).retrieve(History().add_user(message))
    assert {type(fact) for fact in found} == {type_}
    assert len(found) <= spec.knowledge.limit
    for fact in found:
        read = source_class(spec.knowledge.source).read_line(fact.line)
        assert (read.line, read.row, read.names) == (fact.line, fact.row, fact.names)
        assert isinstance(read, Row) if type_ is Event else isinstance(read, type_)


def test_the_lines_that_the_shipped_skills_learn_from_are_what_their_sources_write(home: Home) -> None:
    allowed: dict[str, tuple[type[Fact], ...]] = {
        "calendar": (Row, Notice, Nothing),
        "claims": (Verdict, Passage),
        "graph": (Triple, Nothing),
        "passages": (Passage, Nothing),
        "persona": (PersonaLine,),
        "table": (Row, Count, Nothing),
        "weather": (Forecast, Row, Notice, Nothing),
    }
    seen = 0
    for spec in SkillFolders(home).load_all().values():
        kind, path = spec.knowledge.source, spec.folder / "examples.jsonl"
        if kind in allowed and path.is_file():
            turns = [turn for dialogue in read_dialogues(path) for turn in dialogue.turns]
            lines = {line for turn in turns for line in turn.knowledge}
            wrong = [line for line in lines if not isinstance(source_class(kind).read_line(line), allowed[kind])]
            assert wrong == [], spec.name
            seen += len(lines)
        if empty := spec.knowledge.when_empty:
            assert isinstance(source_class(kind).read_line(empty), (Nothing, Verdict)), spec.name
    assert seen > 500


# -- facts travel whole -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fact", FACTS.values(), ids=lambda fact: fact.kind)
def test_facts_are_copied_pickled_and_written_as_json(fact: Fact) -> None:
    for other in (copy.copy(fact), copy.deepcopy(fact), pickle.loads(pickle.dumps(fact))):
        assert other == fact
        assert type(other) is type(fact)
        assert hash(other) == hash(fact)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fact.note = "changed"  # type: ignore[misc]
    plain = json.loads(json.dumps(fact.to_dict()))
    assert plain == fact.to_dict()
    assert (plain["kind"], plain["title"], plain["score"]) == (fact.kind, fact.heading, fact.score)
    assert plain["text"] == fact.line
    assert {field.name for field in dataclasses.fields(fact)} | {"kind", "text", "title"} == plain.keys()
    for field in dataclasses.fields(fact):
        value = getattr(fact, field.name)
        if isinstance(value, (str, bool, int, float)):
            assert plain[field.name] == value


def test_cells_days_and_times_are_plain_in_json() -> None:
    assert FIG.to_dict()["cells"] == dict(FIG.cells)
    assert LUNCH.to_dict()["said"] == dict(LUNCH.said)
    assert (LUNCH.to_dict()["start"], LUNCH.to_dict()["all_day"]) == ("2026-03-04T12:30:00", False)
    assert FORECAST.to_dict()["days"][0] == {"weekday": "monday", "sky": "sunny", "low": 40, "high": 50}


def test_every_kind_of_fact_has_a_name_of_its_own() -> None:
    names = [kind.kind for kind in FACT_KINDS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+", name) for name in names)
    with pytest.raises(TypeError, match="Fact has no line"):
        Fact().line  # noqa: B018
