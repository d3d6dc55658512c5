"""The pictures of a turn, of what led to it and of the lists: pure functions, so no page and no model is needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from adapterbot.facts import Day, Event, Fact, Forecast, Nothing, Passage, Row, Triple, Verdict
from adapterbot.history import History
from adapterbot.reply.care import shipped_texts
from adapterbot.spec.tables import SkillSpec
from adapterbot.storage.conversations import Exchange
from adapterbot.storage.owners import Conversation
from adapterbot.turn import Draft, Reply
from adapterbot.ui import evidence, overview, talk, words
from adapterbot.ui.lists import deleted_html, list_html, picker_html
from adapterbot.ui.markup import safe

PAYLOADS = [
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "</script><script>alert(1)</script>",
    '"><a href="javascript:alert(1)">click</a>',
    "<iframe src='http://evil.example'></iframe>",
]


def spec(name: str, group: str, **given: object) -> SkillSpec:
    return SkillSpec.model_validate({"name": name, "folder": ".", "summary": f"{name} things.", "group": group} | given)


SPECS = {
    s.name: s
    for s in (
        spec("weather", "task", routing={"examples": ["Will it rain?", "Is it cold?"]}),
        spec("wiki", "knowledge", routing={"examples": ["What is jazz?"]}),
        spec("persona", "conversation", routing={"examples": ["Do you have a cat?"]}),
        spec("joy", "style"),
    )
}
REPLY = Reply(
    text="Jazz began in New Orleans.",
    skill="wiki",
    scores={"weather": 0.004, "wiki": 0.93, "persona": 0.066},
    routed_by="manager",
    reason="wiki is well ahead",
    facts=(Passage("Jazz", "Jazz grew out of the blues.", source="passages", score=7.314),),
    timings={"route": 0.0214, "first_token": 1.5},
    seed=4711,
)


class Page(HTMLParser):
    """All tags and attributes of some HTML: what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile(payload: str) -> Reply:
    """A reply in which every text that is not ours is the payload."""
    fact = Passage(payload, payload, source=payload, note=payload, score=1.0)
    return Reply(
        text=payload,
        skill=payload,
        scores={payload: 0.9, "wiki": 0.1},
        reason=payload,
        facts=(fact,),
        drafts=(Draft(payload), Draft(payload)),
        dropped=(payload,),
        warnings=(payload,),
        timings={payload: 1.0},
    )


TAGS = """section h2 h3 p div ol ul li span i figure figcaption b br small dl dt dd details summary table tr th td svg
path title rect text g polygon article button h2 input label select option optgroup"""
OURS = set(TAGS.split())


def told(reply: Reply, **given: Any) -> Exchange:
    return Exchange(**{"position": 3, "number": 1, "message": "hi", "reply": reply, "opinion": 0, "created_at": "",
                       "typed": "hi", **given})  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_is_not_ours_becomes_markup(payload: str) -> None:
    facts = (Row(payload, payload, ((payload, payload),)), Triple(payload, payload, payload + "2"),
             Verdict(payload, "supported", payload), Nothing(payload, payload),
             Forecast(payload, (Day(payload, payload, 1, 2),), payload),
             Event(payload, datetime(2026, 5, 1), datetime(2026, 5, 2), payload))  # fmt: skip
    reply = replace(hostile(payload), facts=hostile(payload).facts + facts)
    asked = spec("x", "task", summary=payload, routing={"examples": [payload]})
    shown = {
        "evidence": evidence.evidence_html(reply, SPECS, 3),
        "talk": talk.talk_html([told(reply, typed=payload)]) + talk.growing_html(payload, payload, payload),
        "list": list_html([Conversation("a", payload, 1, "")] * 2, current="a", renaming="b") + deleted_html(payload),
        "rename": list_html([Conversation("a", payload, 1, "")], current="", renaming="a"),
        "empty": overview.empty_html(overview.overview_html({"x": asked}, ["x"], calendar=True)),
        "picker": picker_html({"x": SPECS["wiki"].model_copy(update={"summary": payload})}, ["x"]),
    }
    for name, text in shown.items():
        page = Page(text)
        assert page.tags <= OURS, name
        assert not {each for each in page.attributes if each.startswith("on") or each in ("href", "src")}, name
        assert payload in page.text or name == "rename"


def test_what_turns_the_order_of_letters_and_half_a_surrogate_pair_are_taken_out() -> None:
    assert safe("a\u202eb\u2066c\ud800") == "abc?"
    evidence.evidence_html(hostile("\ud800\x00\u202e"), SPECS).encode("utf-8")


def test_a_picker_is_no_template() -> None:
    text = picker_html({"wiki": SPECS["wiki"].model_copy(update={"summary": "`${alert(1)}` {{this}} \\"})}, ["wiki"])
    assert not set("`${}\\") & set(text)
    assert "`${alert(1)}` {{this}} \\" in Page(text).text


def test_the_picker_starts_with_auto_and_its_groups_name_the_skills_first() -> None:
    page = Page(picker_html(SPECS, SPECS))
    assert page.text.index(words.AUTO) < page.text.index("persona: persona things.") < page.text.index("wiki: ")
    assert "joy" not in Page(picker_html(SPECS, ["wiki"])).text


def test_a_turn_keeps_its_new_lines_and_names_the_skill() -> None:
    text = talk.talk_html([told(REPLY, typed="one\ntwo")])
    assert "one\ntwo" in text
    assert "wiki · 93 %" in text


def test_only_the_last_turn_can_be_edited_and_answered_again() -> None:
    text = talk.talk_html([told(REPLY, position=1), told(REPLY, position=2)])
    assert (text.count('data-do="edit"'), text.count('data-do="retry"'), text.count('data-do="copy"')) == (1, 1, 2)
    assert "data-do" not in talk.talk_html([told(REPLY)], busy=True).replace('data-do="inspect"', "")


def test_arrows_go_through_versions_and_end_at_their_ends() -> None:
    text = talk.talk_html([told(REPLY, number=2, numbers=(1, 2))])
    assert "2 / 2" in text
    assert text.count("<button disabled") == 1
    assert 'data-number="1"' in text


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (replace(REPLY, timings={"total": 1.23}), ["wiki", "93 %", "1.2 s"]),
        (replace(REPLY, routed_by="forced", timings={}), ["wiki", "your choice"]),
        (replace(REPLY, routed_by="fallback", timings={}), ["wiki", "fallback"]),
        (replace(REPLY, care="crisis", routed_by="care", timings={}), ["care: crisis"]),
        (Reply("Jazz is", "", warnings=(words.STOPPED,)), ["stopped"]),
    ],
)
def test_the_strip_is_skill_confidence_and_time(reply: Reply, line: list[str]) -> None:
    assert talk.strip(reply) == line


def test_a_care_answer_is_a_card_with_its_numbers_as_links() -> None:
    text = shipped_texts().answer("abuse", History(), "US")
    card = talk.talk_html([told(replace(REPLY, text=text, routed_by="care", care="abuse", facts=()))])
    assert 'role="note"' in card
    assert '<a href="tel:18007997233">1-800-799-7233</a>' in card
    assert '<a href="tel:911">911</a>' in card
    assert "under 18," in card  # an age is no number to call
    assert words.LIKE not in card
    elsewhere = talk.care_card(shipped_texts().answer("crisis", History()))
    assert (
        '<a href="https://findahelpline.com" target="_blank" rel="noopener noreferrer">findahelpline.com</a>'
        in elsewhere
    )
    assert "<b>" not in talk.care_card("<b>911</b>")


CARDS: list[tuple[Fact, list[str]]] = [
    (Passage("Jazz", "Jazz grew.", source="passages", score=7.314), ["Jazz", "Jazz grew.", "passages · score 7.31"]),
    (Row("hotel", "Lotus", (("price_range", "cheap"),), source="table"), ["Lotus", "price range", "cheap"]),
    (Forecast("Oslo", (Day("monday", "light rain", 3, 7),), "monday", "C"), ["Oslo", "Mon", "☂", "3° to 7° C"]),
    (Event("Lunch", datetime(2026, 5, 1, 12), datetime(2026, 5, 1, 13), "Cafe"), ["Friday 1 May 2026, 12:00 to 13:00"]),
    (Verdict("Masks help", "supported", "They do."), ["Masks help", "supported", "They do."]),
    (Triple("Jaws", "directed_by", "Steven Spielberg"), ["directed by", "Jaws → directed by → Steven Spielberg"]),
    (Nothing("tango"), ["tango: none"]),
]


@pytest.mark.parametrize(("fact", "said"), CARDS, ids=lambda each: getattr(each, "kind", ""))
def test_a_fact_is_a_card_of_its_kind(fact: Fact, said: list[str]) -> None:
    text = Page(evidence.facts_html([fact])).text
    assert all(each in text for each in said), text


def test_bars_are_sorted_and_mark_the_skill_that_answered() -> None:
    bars = evidence.bars(REPLY.scores, "persona")
    assert [bar.skill for bar in bars] == ["wiki", "persona", "weather"]
    assert [bar.answered for bar in bars] == [False, True, False]
    assert 'style="width:93.0%"' in evidence.bars_html(bars)


def test_bars_stay_inside_their_track() -> None:
    assert [bar.share for bar in evidence.bars({"a": 1.7, "b": -0.2}, "a")] == [1.0, 0.0]


def test_many_bars_fold_away() -> None:
    html = evidence.bars_html(evidence.bars({f"skill_{i}": 0.1 for i in range(9)}, "skill_0"))
    assert html.index("<details><summary>3 more</summary>") < html.index("skill_8")


def test_no_scores_no_chart() -> None:
    assert evidence.bars_html(evidence.bars({}, "wiki")) == ""
    assert evidence.bars_html(evidence.bars({"wiki": 0.0}, "wiki")) == ""


@pytest.mark.parametrize(("share", "shown"), [(0.926, "93 %"), (1.0, "100 %"), (0.004, "< 1 %"), (0.0, "0 %")])
def test_percent(share: float, shown: str) -> None:
    assert talk.percent(share) == shown


def test_the_inspector_shows_the_whole_turn() -> None:
    text = Page(evidence.evidence_html(REPLY, SPECS)).text
    for expected in (
        "wiki",
        "wiki things.",
        "chosen by the manager",
        "wiki is well ahead",
        "93 %",
        "Jazz grew out of",
        "passages · score 7.31",
        "21 ms",
        "first token",
        "1,500 ms",
        "4711",
    ):
        assert expected in text
    assert "Drafts" not in text
    assert "Notes" not in text


def test_the_inspector_says_when_there_were_no_facts_and_shows_drafts_and_notes() -> None:
    reply = replace(REPLY, facts=(), drafts=(Draft("one"), Draft("two")), warnings=("cut to 2000 characters",))
    text = Page(evidence.evidence_html(reply, {})).text
    assert "Facts usedNo facts" in text
    assert "two" in text
    assert "Notescut to 2000 characters" in text


def test_the_overview_has_a_message_for_each_usable_skill() -> None:
    page = Page(overview.overview_html(SPECS, ["wiki", "weather", "joy"], calendar=False))
    assert "What is jazz?" in page.text or overview.EXAMPLES["wiki"] in page.text
    assert overview.EXAMPLES["weather"] in page.text
    assert "persona" not in page.text
    assert 'data-skill="joy"' in overview.overview_html(SPECS, ["joy"], calendar=False)


@pytest.mark.parametrize(("calendar", "do"), [(True, "example"), (False, "attach")])
def test_a_calendar_that_is_not_there_is_asked_for(calendar: bool, do: str) -> None:
    known = {"calendar": spec("calendar", "task", knowledge={"source": "calendar"})}
    assert f'data-do="{do}"' in overview.overview_html(known, ["calendar"], calendar=calendar)


def test_an_answer_without_a_forecast_says_why_and_what_else_there_is() -> None:
    none = replace(REPLY, facts=(Nothing("forecast", "not available"),))
    text = talk.talk_html([told(none)], around=talk.Around(no_forecast=words.NO_NETWORK))
    assert "adapterbot ui --demo" in text
    assert words.NO_NETWORK not in talk.talk_html([told(REPLY)], around=talk.Around(no_forecast=words.NO_NETWORK))


def test_a_draft_that_was_not_taken_can_be() -> None:
    reply = replace(REPLY, text="one", drafts=(Draft("one"), Draft("two")))
    text = evidence.evidence_html(reply, {}, 3, 2)
    assert text.count('data-do="take"') == 1
    assert 'data-turn="3" data-number="2" data-draft="1"' in text
    assert 'data-do="take"' not in evidence.evidence_html(reply, {})


def test_pictures_need_no_gradio() -> None:
    code = "import sys, adapterbot.ui.evidence, adapterbot.ui.lists; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
