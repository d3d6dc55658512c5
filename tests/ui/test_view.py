"""view: a Reply as a picture of it. Everything here is a pure function, so no page and no model is needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from adapterbot.facts import Passage
from adapterbot.history import History
from adapterbot.reply.care import shipped_texts
from adapterbot.spec.tables import SkillSpec
from adapterbot.turn import Draft, Reply, RoutedBy
from adapterbot.ui import view

PAYLOADS = [
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "</script><script>alert(1)</script>",
    '"><a href="javascript:alert(1)">click</a>',
    "<iframe src='http://evil.example'></iframe>",
]


def spec(name: str, group: str, **given: object) -> SkillSpec:
    return SkillSpec.model_validate(
        {"name": name, "folder": ".", "summary": f"{name} things.", "group": group, **given}
    )


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


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_in_a_reply_becomes_markup(payload: str) -> None:
    page = Page(view.inspector_html(hostile(payload), SPECS))
    assert page.tags <= {
        "section",
        "h2",
        "p",
        "div",
        "ol",
        "li",
        "span",
        "i",
        "figure",
        "figcaption",
        "b",
        "small",
        "dl",
        "dt",
        "dd",
        "details",
        "summary",
    }
    assert page.attributes <= {"class", "style", "dir", "aria-hidden"}
    assert page.text.count(payload) >= 8  # it is shown, as text


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_in_a_bubble_becomes_markup(payload: str) -> None:
    shown = view.messages(History().add_user(payload).add_bot(payload), [replace(REPLY, skill=payload)])
    for message in shown:
        for part in message["content"]:
            assert Page(part["text"]).tags == set()


def test_half_a_surrogate_pair_and_nul_can_be_sent_to_a_browser() -> None:
    assert view.safe("a\ud800b") == "a?b"
    view.inspector_html(hostile("\ud800\x00\u202e"), SPECS).encode("utf-8")


def test_messages_alternate_and_name_the_skill() -> None:
    history = History().add_user("What is jazz?").add_bot(REPLY.text).add_user("And swing?").add_bot("Swing is")
    shown = view.messages(history, [REPLY, None])
    assert [m["role"] for m in shown] == ["user", "assistant", "user", "assistant"]
    assert [p["text"] for p in shown[1]["content"]] == [REPLY.text, "wiki · chosen by the manager 93 %"]
    assert shown[3]["content"][1]["text"] == view.STOPPED


def test_a_care_answer_is_a_card_with_its_numbers_as_links() -> None:
    text = shipped_texts().answer("abuse", History(), "US")
    reply = replace(REPLY, text=text, routed_by="care", care="abuse", facts=())
    card, line = (
        part["text"] for part in view.messages(History().add_user("He hits me").add_bot(text), [reply])[1]["content"]
    )
    assert card.startswith('<div class="ab-care" role="note">')
    assert '<a href="tel:18007997233">1-800-799-7233</a>' in card
    assert '<a href="tel:911">911</a>' in card
    assert "under 18," in card  # an age is no number to call
    assert line == "care · abuse"
    elsewhere = view.care_card(shipped_texts().answer("crisis", History()))
    assert (
        '<a href="https://findahelpline.com" target="_blank" rel="noopener noreferrer">findahelpline.com</a>'
        in elsewhere
    )
    assert "<b>" not in view.care_card(view.bubble("<b>911</b>"))


def test_a_reply_that_is_still_growing_has_no_byline() -> None:
    history = History().add_user("What is jazz?").add_bot("Jazz be")
    assert [p["text"] for p in view.messages(history, [])[1]["content"]] == ["Jazz be"]


@pytest.mark.parametrize(
    ("routed_by", "line"),
    [("forced", "wiki · your choice"), ("fallback", "wiki · fallback"), ("only", "wiki · no manager is trained")],
)
def test_the_byline_says_how_the_skill_came_to_answer(routed_by: RoutedBy, line: str) -> None:
    assert view.byline(replace(REPLY, routed_by=routed_by)) == line


def test_bars_are_sorted_and_mark_the_skill_that_answered() -> None:
    bars = view.bars(REPLY.scores, "persona")
    assert [bar.skill for bar in bars] == ["wiki", "persona", "weather"]
    assert [bar.answered for bar in bars] == [False, True, False]
    assert 'style="width:93.0%"' in view.bars_html(bars)


def test_bars_stay_inside_their_track() -> None:
    assert [bar.share for bar in view.bars({"a": 1.7, "b": -0.2}, "a")] == [1.0, 0.0]


def test_many_bars_fold_away() -> None:
    html = view.bars_html(view.bars({f"skill_{i}": 0.1 for i in range(11)}, "skill_0"))
    assert html.index("<details><summary>3 more</summary>") < html.index("skill_9")


def test_no_scores_no_chart() -> None:
    assert view.bars_html(view.bars({}, "wiki")) == ""
    assert view.bars_html(view.bars({"wiki": 0.0}, "wiki")) == ""


@pytest.mark.parametrize(("share", "shown"), [(0.926, "93 %"), (1.0, "100 %"), (0.004, "< 1 %"), (0.0, "0 %")])
def test_percent(share: float, shown: str) -> None:
    assert view.percent(share) == shown


def test_the_inspector_shows_the_whole_turn() -> None:
    text = Page(view.inspector_html(REPLY, SPECS)).text
    for expected in (
        "wiki",
        "wiki things.",
        "chosen by the manager",
        "wiki is well ahead",
        "93 %",
        "Jazz grew out of",
        "Jazz · passages · score 7.31",
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
    text = Page(view.inspector_html(reply, {})).text
    assert "Facts usednone" in text
    assert "two" in text
    assert "Notescut to 2000 characters" in text


def test_the_picker_starts_with_auto_and_is_ordered_by_group() -> None:
    choices = view.skill_choices(SPECS, SPECS)
    assert [value for _, value in choices] == [view.AUTO, "persona", "wiki", "weather", "joy"]
    assert choices[2][0] == "knowledge · wiki — wiki things."


def test_the_picker_offers_only_what_can_answer() -> None:
    assert [value for _, value in view.skill_choices(SPECS, ["wiki"])] == [view.AUTO, "wiki"]


def test_examples_are_the_first_of_each_usable_skill() -> None:
    assert view.examples(SPECS, ["wiki", "weather", "joy"]) == ["What is jazz?", "Will it rain?"]
    assert view.examples(SPECS, ["joy"]) == list(view.GREETINGS)


def test_persona_lines() -> None:
    assert view.persona_lines("  I ski.\n\n\tI have a dog. \r\n") == ["I ski.", "I have a dog."]


def test_view_imports_no_gradio() -> None:
    code = "import sys, adapterbot.ui.view; sys.exit('gradio' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
