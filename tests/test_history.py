"""A history is a value: adding makes a new one, and the JSON form is read whoever wrote it."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.errors import InputError
from adapterbot.history import History, Utterance

TALK = History().add_user("Hi!").add_bot("Hello.").add_user("How are you?").add_bot("Fine.")
HISTORIES = st.lists(st.builds(Utterance, st.sampled_from(["user", "bot"]), st.text(max_size=9)), max_size=8).map(
    lambda said: History(tuple(said))
)


def test_adding_leaves_the_old_history_as_it_was() -> None:
    old = History().add_user("Hi!")
    new = old.add_bot("Hello.")
    assert (len(old), len(new)) == (1, 2)
    assert [u.speaker for u in new] == ["user", "bot"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        new.utterances = ()  # type: ignore[misc]
    assert {old: 1}[History().add_user("Hi!")] == 1, "equal histories are equal keys"


@pytest.mark.parametrize(
    ("turns", "wanted"), [(0, ()), (-1, ()), (1, ("Fine.",)), (3, TALK.texts[1:]), (9, TALK.texts)]
)
def test_a_window_is_the_last_utterances(turns: int, wanted: tuple[str, ...]) -> None:
    assert TALK.window(turns).texts == wanted


def test_a_thread_leaves_out_what_other_skills_answered() -> None:
    talk = History().add_user("Hi!").add_bot("Hello.").add_user("A table for two?").add_bot("Where?", "restaurant")
    talk = talk.add_user("Will it rain?").add_bot("No.", "weather").add_user("In the centre.")
    assert talk.thread("restaurant").texts == ("Hi!", "Hello.", "A table for two?", "Where?", "In the centre.")
    assert talk.thread("hotel").texts == ("Hi!", "Hello.", "In the centre.")
    assert TALK.thread("restaurant") == TALK, "where nobody knows who answered, all is kept"


def test_who_answered_is_no_part_of_what_was_said() -> None:
    assert History().add_bot("Hello.", "chitchat") == History().add_bot("Hello.")
    assert History().add_bot("Hello.", "chitchat").to_list() == [{"speaker": "bot", "text": "Hello."}]


def test_the_last_exchange_can_be_taken_back() -> None:
    assert TALK.without_last_exchange().texts == ("Hi!", "Hello.")
    assert TALK.add_user("And you?").without_last_exchange() == TALK
    assert History().without_last_exchange() == History()


def test_the_newest_user_message() -> None:
    assert TALK.last_user == "How are you?"
    assert History().last_user == ""


@given(HISTORIES)
def test_the_json_form_reads_back_the_same(history: History) -> None:
    assert History.from_list(history.to_list()) == history


def test_other_programs_names_are_understood() -> None:
    read = History.from_list(
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"speaker": "user", "text": "c"},
            {"speaker": "system", "text": "d"},
            Utterance("user", "e"),
        ]
    )
    assert read == History().add_user("a").add_bot("b").add_user("c").add_bot("d").add_user("e")


def test_plain_texts_alternate_and_end_with_the_bot() -> None:
    assert History.from_list(["a", "b", "c"]) == History().add_bot("a").add_user("b").add_bot("c")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("hello", "a history is a list"),
        ({"speaker": "user"}, "a history is a list"),
        (5, "a history is a list"),
        ([5], r"history\[0\] is neither text nor an object"),
        ([{"speaker": "user", "text": "a"}, {"speaker": "user"}], r'history\[1\] has no "text"'),
        ([{"speaker": "user", "text": 5}], r'history\[0\] has no "text"'),
        ([{"speaker": "admin", "text": "a"}], r"history\[0\] has speaker 'admin'"),
        ([{"text": "a"}], r"history\[0\] has speaker None"),
        ([{"speaker": ["user"], "text": "a"}], r"history\[0\] has speaker"),
    ],
)
def test_what_is_no_history_is_refused(items: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        History.from_list(items)  # type: ignore[arg-type]
