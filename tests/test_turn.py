"""Decode settings are checked, never clamped in silence; a Reply becomes plain JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.errors import SettingError
from adapterbot.history import History
from adapterbot.turn import DECODE_SETTINGS, Decode, Draft, Passage, Reply

OUTSIDE: list[tuple[str, Any]] = [
    ("temperature", -0.1),
    ("temperature", 5.1),
    ("temperature", 1e9),
    ("temperature", float("nan")),
    ("temperature", float("inf")),
    ("temperature", "0.7"),
    ("temperature", True),
    ("temperature", [1]),
    ("top_p", 0),
    ("top_p", 1.1),
    ("top_p", -1),
    ("top_k", -1),
    ("top_k", 1.5),
    ("top_k", 10**9),
    ("repetition_penalty", 0.9),
    ("no_repeat_ngram", -1),
    ("min_tokens", -1),
    ("max_tokens", 0),
    ("max_tokens", 10**9),
    ("max_tokens", 10**400),
    ("drafts", 0),
    ("drafts", 10**6),
    ("seed", -1),
    ("seed", 2**63),
    ("temperature", "x" * 100_000),
]


@pytest.mark.parametrize(("name", "value"), OUTSIDE, ids=lambda v: str(v)[:12])
def test_a_value_outside_its_range_is_refused_and_named(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"^{name}=") as caught:
        Decode().override({name: value})
    assert len(str(caught.value)) < 300
    assert DECODE_SETTINGS[name][3] in str(caught.value), "it says what the setting does"


@pytest.mark.parametrize("name", [n for n in DECODE_SETTINGS if n != "seed"])
def test_the_ends_of_every_range_are_taken(name: str) -> None:
    kind, low, high, _ = DECODE_SETTINGS[name]
    for value in (low, high):
        changes = {name: kind(value)} | ({"max_tokens": 512} if name == "min_tokens" else {})
        assert getattr(Decode().override(changes), name) == value


def test_an_unknown_setting_lists_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"unknown decode setting 'temprature'; did you mean 'temperature'\?"):
        Decode().override({"temprature": 1.0})


def test_none_keeps_what_is_there_and_nothing_is_changed_in_place() -> None:
    base = Decode(temperature=0.3)
    assert base.override({"temperature": None, "top_k": 5}) == Decode(temperature=0.3, top_k=5)
    assert base == Decode(temperature=0.3)


def test_a_short_reply_may_be_asked_for_whatever_the_skill_says() -> None:
    assert Decode(min_tokens=10).override({"max_tokens": 3}).min_tokens == 3
    with pytest.raises(SettingError, match="min_tokens=10 is above max_tokens=3"):
        Decode().override({"min_tokens": 10, "max_tokens": 3})


@given(st.floats(0, 5), st.integers(1, 512), st.integers(0, 2**63 - 1))
def test_numbers_are_kept_exactly(temperature: float, most: int, seed: int) -> None:
    made = Decode().override({"temperature": temperature, "max_tokens": most, "seed": seed})
    assert (made.temperature, made.max_tokens, made.seed) == (temperature, most, seed)


def test_a_whole_float_is_a_whole_number() -> None:
    assert Decode().override({"top_k": 40.0}).top_k == 40


def test_a_reply_becomes_plain_json() -> None:
    reply = Reply(
        "Sunny.",
        "weather",
        scores={"weather": 0.9},
        facts=(Passage("", "a", source="caller"),),
        drafts=(Draft("Sunny."),),
        timings={"total": 0.1},
        history=History().add_user("Weather?").add_bot("Sunny."),
        seed=3,
    )
    plain = json.loads(json.dumps(reply.to_dict()))
    assert set(plain) == {f.name for f in dataclasses.fields(Reply)}
    assert plain["history"] == [{"speaker": "user", "text": "Weather?"}, {"speaker": "bot", "text": "Sunny."}]
    assert plain["facts"][0]["source"] == "caller"
    assert plain["drafts"][0]["text"] == "Sunny."
