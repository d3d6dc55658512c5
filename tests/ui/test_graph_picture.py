"""The picture of a reply's triples: valid XML whatever the names hold, and everything inside the frame."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapterbot.facts import Fact, Nothing, Passage, Triple
from adapterbot.turn import Reply
from adapterbot.ui import evidence
from adapterbot.ui.graph_picture import ANGLES, HEIGHT, LETTERS, MOST_EDGES, MOST_NODES, WIDTH, picture

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = ["<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "</svg><svg onload=alert(1)>", "a & b 'c'"]


def fact(subject: str, relation: str, other: str, title: str = "") -> Fact:
    return Triple(subject, relation, other, source="graph", note=title or subject)


def parsed(facts: list[Fact]) -> ElementTree.Element:
    return ElementTree.fromstring(picture(facts))


def names(svg: ElementTree.Element) -> list[str]:
    return [group.findtext(f"{SVG}title", "") for group in svg.iter(f"{SVG}g")]


def test_every_name_and_relation_is_there_and_the_shared_name_is_in_the_middle() -> None:
    svg = parsed([fact("Jaws", "directed_by", "Steven Spielberg"), fact("Hook", "directed_by", "Steven Spielberg")])
    assert names(svg) == ["Steven Spielberg", "Jaws", "Hook"]
    middle = next(svg.iter(f"{SVG}g")).find(f"{SVG}text")
    assert middle is not None
    assert float(middle.get("x", 0)) == WIDTH / 2
    assert [t.text for t in svg.iter(f"{SVG}title")][-2:] == ["directed_by"] * 2
    assert len(list(svg.iter(f"{SVG}polygon"))) == 2


def test_an_arrow_points_at_the_object() -> None:
    svg = parsed([fact("Jaws", "directed_by", "Steven Spielberg")])
    tip = svg.find(f"{SVG}polygon")
    places = {group.findtext(f"{SVG}title"): group.find(f"{SVG}text") for group in svg.iter(f"{SVG}g")}
    x, y = map(float, tip.get("points", "").split()[0].split(",")) if tip is not None else (0.0, 0.0)
    gaps = {
        name: abs(float(at.get("x", 0)) - x) + abs(float(at.get("y", 0)) - y)
        for name, at in places.items()
        if at is not None
    }
    assert min(gaps, key=lambda name: gaps[name]) == "Steven Spielberg"


def test_what_is_no_triple_is_not_drawn() -> None:
    assert picture([]) == ""
    assert picture([Nothing("graph"), Passage("a", "a\tb\tc"), Triple("a", "", "b")]) == ""
    assert picture([fact("Ouroboros", "eats", "Ouroboros")]) == ""


def test_long_names_are_cut_and_stand_whole_in_the_title() -> None:
    long = "The Life and Opinions of Tristram Shandy, Gentleman"
    svg = parsed([fact(long, "written_by", "Laurence Sterne")])
    shown = [text.text or "" for text in svg.iter(f"{SVG}text")]
    assert long in names(svg)
    assert max(map(len, shown)) <= LETTERS
    assert any(text.endswith("…") and long.startswith(text[:-1]) for text in shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_in_names_is_text(text: str) -> None:
    drawn = picture([fact(text, text, "x", title=text)])
    svg = ElementTree.fromstring(drawn)
    assert text in names(svg)
    drawn_tags = {element.tag.removeprefix(SVG) for element in svg.iter()}
    assert drawn_tags <= {"svg", "title", "path", "polygon", "g", "rect", "text"}
    assert not re.search(r"<script|<img|url\(|\bhref|\son\w+=\"", drawn)


@given(st.lists(st.tuples(*[st.text(st.characters(exclude_characters="\t"), max_size=40)] * 3), max_size=12))
@example([("a", "b", "\ud800\x00"), ("\uffff", "\x1b", "z")])
def test_any_names_make_valid_xml(triples: list[tuple[str, str, str]]) -> None:
    drawn = picture([fact(*triple) for triple in triples])
    assert not drawn or ElementTree.fromstring(drawn).tag == f"{SVG}svg"


@pytest.mark.parametrize("count", range(1, 14))
def test_everything_is_inside_the_frame_and_no_two_names_overlap(count: int) -> None:
    svg = parsed([fact("M" * 40, f"relation {i}", f"{i} " + "N" * 40) for i in range(count)])
    boxes = [[float(rect.get(key, 0)) for key in ("x", "y", "width", "height")] for rect in svg.iter(f"{SVG}rect")]
    assert len(boxes) == min(count, MOST_EDGES) + 1 <= MOST_NODES == len(ANGLES) + 1
    for i, (x, y, width, height) in enumerate(boxes):
        assert 0 <= x <= x + width <= WIDTH
        assert 0 <= y <= y + height <= HEIGHT
        for x2, y2, width2, height2 in boxes[:i]:
            assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y


def test_names_that_are_joined_to_nothing_in_the_middle_are_drawn_too() -> None:
    pairs = [fact(f"a{i}", "knows", f"b{i}") for i in range(8)]
    svg = parsed(pairs)
    assert len(names(svg)) == len(set(names(svg))) == 8
    assert len(list(svg.iter(f"{SVG}polygon"))) == 4


def test_the_inspector_draws_triples_of_a_graph_above_the_facts() -> None:
    triple = fact("Jaws", "directed_by", "Steven Spielberg")
    shown = evidence.evidence_html(Reply("Steven Spielberg did.", "graph", facts=(triple,)), {})
    assert 0 < shown.index('class="ab-fact"') < shown.index("<svg") < shown.index("Jaws →")
    other = Passage("Jaws", triple.line, source="passages")
    assert "<svg" not in evidence.evidence_html(Reply("He did.", "wiki", facts=(other,)), {})
