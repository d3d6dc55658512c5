"""Plain text out of markup, and texts cut at sentence ends."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterbot.knowledge.passages.cutting import PASSAGE_WORDS, WORD_LENGTH, cut, excerpt
from adapterbot.language.markup import clean, from_html, from_markdown, from_wikitext
from adapterbot.language.sentences import split_sentences

# -- cutting ----------------------------------------------------------------------------------------------------------


def test_sentences_end_before_what_begins_one() -> None:
    text = 'Dr. Abel met J. Q. Ruiz at 5 p.m. yesterday. Élan was there! "Why?" he asked. It cost 3.50 e.g. here.'
    assert split_sentences(text) == [
        "Dr. Abel met J. Q. Ruiz at 5 p.m. yesterday.",
        "Élan was there!",
        '"Why?" he asked.',
        "It cost 3.50 e.g. here.",
    ]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=6))
def test_cutting_loses_no_word_and_keeps_the_bound(paragraphs: list[str]) -> None:
    passages = list(cut(paragraphs))
    assert "".join("".join(passages).split()) == "".join("".join(paragraphs).split())
    assert all(0 < len(p.split()) <= PASSAGE_WORDS for p in passages)
    assert all(len(word) <= WORD_LENGTH for p in passages for word in p.split())


def test_passages_end_with_a_sentence_and_half_full_ones_with_a_paragraph() -> None:
    sentence = "The ferry leaves the harbour at nine and comes back before it is dark. "  # 14 words
    assert [len(p.split()) for p in cut([sentence * 7])] == [70, 28]
    assert [len(p.split()) for p in cut([sentence, sentence, sentence, sentence])] == [42, 14]
    assert [len(p.split()) for p in cut(["word " * 170])] == [80, 80, 10]


def test_the_excerpt_begins_with_the_sentence_that_is_asked_for() -> None:
    text = (
        "Boats are old. The \x02ferry\x03 is blue. A \x02ferry\x03 \x02ticket\x03 costs two euros. It lasts a day. Bye."
    )
    assert excerpt(text, "\x02", "\x03") == "A ferry ticket costs two euros. It lasts a day."
    assert excerpt("One is here. Two is there. Three.", "\x02", "\x03") == "One is here. Two is there."
    assert excerpt("", "\x02", "\x03") == ""


# -- markup -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("<p>Hot <b>te</b>a</p><br/>and milk", "Hot tea and milk"),
        ("a<script>alert(1)</script>b<!-- no -->c<STYLE x>y</style >d", "a b c d"),
        ("<img src=x onerror=alert(1)>Tea<svg onload=go()>", "Tea"),
        ('<a href="javascript:go()">Tea</a> &amp; &lt;b&gt;', "Tea & <b>"),
        ("2 < 3 and Dear <name>, 5 > 4", "2 < 3 and Dear <name>, 5 > 4"),
        ("<script>never closed", "never closed"),
        ("tab\there\0and\x02there\ud800", "tab here and there?"),
    ],
)
def test_html_becomes_plain_text(marked: str, plain: str) -> None:
    assert from_html(marked) == plain


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("**Bold**, *soft*, __both__ and ~~gone~~ `code`", "Bold, soft, both and gone code"),
        ("a [link](https://a.example/x_(y)), ![alt](p.png) and [ref][1]", "a link, alt and ref"),
        ("[![badge](b.svg)](https://a.example) text[^1]", "badge text"),
        ("2 * 3 * 4 = 24, snake_case_name, \\*star\\*", "2 * 3 * 4 = 24, snake_case_name, *star*"),
        ("<https://a.example> <b>x</b>", "https://a.example x"),
    ],
)
def test_markdown_becomes_plain_text(marked: str, plain: str) -> None:
    assert from_markdown(marked) == plain


@pytest.mark.parametrize(
    ("marked", "paragraphs"),
    [
        ("'''Tea''' is a [[drink|hot drink]] from [[Asia]].\n\n== Past ==\nOld.", ["Tea is a hot drink from Asia."]),
        ("{{Infobox|a={{b|c|}}|d=[[e]]}}\nTea<ref name=x>{{cite}}</ref> is hot<ref name=y />.", ["Tea is hot."]),
        ("{| class=x\n| [[a]] || {{b}}\n{|\n|}\n|}\nTea.", ["Tea."]),
        ("[[File:Tea.jpg|thumb|A [[cup]] of tea]]\nTea ({{lang|zh}}) is [https://a.example hot].", ["Tea is hot."]),
        ("One.\n\nTwo &amp; three.\n* four\n__NOTOC__[[Category:Tea]]", ["One.", "Two & three. four"]),
        ("Tea. {{never closed", ["Tea."]),
        ("Tea [[never closed. {{a [[b}} More.", ["Tea never closed. More."]),
    ],
)
def test_wikitext_becomes_plain_paragraphs(marked: str, paragraphs: list[str]) -> None:
    assert from_wikitext(marked) == paragraphs


HOSTILE = (
    "<!--",
    "<script ",
    "<ref>",
    "<b ",
    "<",
    "[",
    "[[",
    "{{",
    "[[a",
    "[](",
    "*",
    "* a",
    "_a ",
    "`",
    "( ",
    ". ",
    "\n ",
    "[//a",
    "''",
    "==",
    "&",
    "\\",
    "> ",
    "]]",
    "}}",
    "|}",
)


@pytest.mark.parametrize("reader", [from_html, from_markdown, from_wikitext, clean, split_sentences])
def test_hostile_markup_takes_linear_time(reader: Callable[[str], object]) -> None:
    def seconds(size: int) -> float:
        started = time.process_time()
        for unit in HOSTILE:
            for text in (unit * (size // len(unit)), unit + "a" * size, unit + " " * size + "a"):
                reader(text)
        return time.process_time() - started

    assert seconds(40_000) < 20 * (seconds(4_000) + 0.01)  # a quadratic step would take a hundred times as long


@settings(deadline=None)
@given(st.text(st.sampled_from("{}[]|<>!-=' \n#*a/refscript:")))
def test_any_markup_can_be_read(text: str) -> None:
    for paragraph in (from_html(text), from_markdown(text), *from_wikitext(text)):
        assert paragraph == clean(paragraph)
