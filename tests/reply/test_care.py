"""Care: the fixed texts, the numbers of a region, and what a model hears afterwards."""

from __future__ import annotations

import re

import pytest

from adapterbot.errors import SettingError
from adapterbot.history import History
from adapterbot.manager.care import KINDS
from adapterbot.reply.care import CareTexts, region_here, region_named, region_of, shipped_texts

TEXTS = shipped_texts()
FIELDS = ("emergency", "crisis", "abuse", "child")


def test_every_kind_has_its_texts() -> None:
    assert set(TEXTS.answers) == set(KINDS)


@pytest.mark.parametrize("region", ["", *TEXTS.regions])
@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_is_known_again_in_a_history(kind: str, region: str) -> None:
    first = TEXTS.answer(kind, History(), region)
    again = TEXTS.answer(kind, History().add_user("so").add_bot(first), region)
    assert first != again
    assert [TEXTS.kind_of(text) for text in (first, again)] == [kind, kind]
    assert not re.search(r"[{}]", first + again)


@pytest.mark.parametrize("kind", ["crisis", "abuse", "emergency"])
def test_grave_answers_name_an_emergency_number(kind: str) -> None:
    for code, region in TEXTS.regions.items():
        assert region.emergency in TEXTS.answer(kind, History(), code)
    assert "112" in TEXTS.answer(kind, History(), "XX")  # a country that is not in the file


@pytest.mark.parametrize("code", TEXTS.regions)
def test_every_region_names_a_number_or_a_site_for_each_need(code: str) -> None:
    for name in FIELDS:
        assert re.search(r"\d{2}|\.(com|org|ch|ca)\b", getattr(TEXTS.regions[code], name)), name


def test_a_model_hears_a_summary_of_what_got_care() -> None:
    said = History().add_user("I want to die").add_bot(TEXTS.answer("crisis", History(), "GB"), "chitchat")
    said = said.add_user("Thanks. What is jazz?").add_bot("Jazz is music.", "wiki")
    heard = TEXTS.heard(said)
    assert heard.texts[:2] == (TEXTS.answers["crisis"].user, TEXTS.answers["crisis"].bot)
    assert heard.texts[2:] == said.texts[2:]
    assert TEXTS.told(said) == ""
    assert TEXTS.told(said.window(2)) == ""
    assert TEXTS.told(said.without_last_exchange()) == "crisis"


def test_an_answer_of_a_past_without_the_message_is_summed_up_too() -> None:
    only = History().add_bot(TEXTS.answer("hate", History()))
    assert TEXTS.heard(only).texts == (TEXTS.answers["hate"].bot,)


@pytest.mark.parametrize(
    ("language", "region"),
    [
        ("en_GB.UTF-8", "GB"),
        ("de-AT", "AT"),
        ("zh-Hant-TW", "TW"),
        ("en", ""),
        ("C.UTF-8", ""),
        ("", ""),
        ("POSIX", ""),
    ],
)
def test_the_country_of_a_language_tag(language: str, region: str) -> None:
    assert region_of(language) == region


def test_the_locale_names_the_country() -> None:
    assert region_here({"LANG": "en_US.UTF-8", "LC_ALL": "en_GB.UTF-8"}) == "GB"
    assert region_here({"LANG": "C.UTF-8"}) == ""
    assert region_here({}) == ""


def test_a_region_is_a_code_of_two_letters() -> None:
    assert region_named("gb") == "GB"
    for wrong in ("", "Britain", "G1"):
        with pytest.raises(SettingError, match="two letters"):
            region_named(wrong)


def test_the_file_is_read_as_it_is_written(tmp_path: object) -> None:
    assert CareTexts.read().refused == TEXTS.refused
