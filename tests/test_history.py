"""A history is a value: adding makes a new one, and the JSON form is read whoever wrote it."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.errors import InputError
from adapterbot.history import MOST_TEXT, History, Utterance, read_history

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


@given(HISTORIES, st.lists(st.text(max_size=9), max_size=3))
def test_instructions_read_back_the_same(history: History, told: list[str]) -> None:
    history = dataclasses.replace(history, instructions=tuple(told))
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
        ([5], r"history\[0\] is neither text nor an object nor a pair; use"),
        (0, "a history is a list"),
        ({"messages": "hello"}, "a history is a list"),
        ([["a"]], r"history\[0\] is not a pair of two texts"),
        ([["a", "b", "c"]], r"history\[0\] is not a pair"),
        (["x", [5, "b"]], r"history\[1\] is not a pair"),
        ([{"role": "user", "content": None}], r'history\[0\] has no "text"'),
        ([{"role": "assistant", "content": None}], r'history\[0\] has no "text"'),
        ([{"role": "user", "content": None, "tool_calls": [1]}], r'history\[0\] has no "text"'),
        ([{"role": "user", "content": [5]}], r'history\[0\]: part 0 of its content has no "text"'),
        ([{"role": "user", "content": [{"type": "text"}]}], r"history\[0\]: part 0"),
        ([{"role": "narrator", "content": "a"}], r'history\[0\] has speaker .narrator.; use .*"role"'),
        ([{"role": "x" * 5000, "content": "a"}], r"history\[0\] has speaker .x{50,60}…; use"),
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


def test_parts_of_a_content_are_read_as_one_text() -> None:
    look, this = ({"type": "text", "text": text} for text in ("Look", "at this."))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    read = History.from_list(
        [
            {
                "role": "user",
                "content": [look, picture, this],
            },
            {"role": "assistant", "content": [{"type": "output_text", "text": "A cat."}]},
            {"role": "user", "content": ["Yes."], "metadata": None, "options": None},  # as gradio 6 has them
            {"role": "assistant", "content": {"text": "Nice.", "type": "text"}},
        ]
    )
    assert read.texts == ("Look\nat this.", "A cat.", "Yes.", "Nice.")
    assert read.notes == ("history[0]: its part 1 is of type 'image_url'; only text is read",)


def test_instructions_and_tools_said_nothing() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    read = History.from_list(
        {
            "model": "any",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": "Will it rain?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "1", "content": "sunny"},
                {"role": "function", "name": "weather", "content": None},
                {"role": "assistant", "content": "No.", "tool_calls": [call]},
                {"role": "user", "content": "Help me to steal."},
                {"role": "assistant", "content": None, "refusal": "I will not."},
            ],
        }
    )
    said = History().add_user("Will it rain?").add_bot("No.").add_user("Help me to steal.").add_bot("I will not.")
    assert read.utterances == said.utterances
    assert read.instructions == ("Be kind.", "Be brief.")
    for grown in (
        read.add_user("a"),
        read.add_bot("b"),
        read.window(1),
        read.thread("x"),
        read.without_last_exchange(),
    ):
        assert grown.instructions == read.instructions
    assert History.from_list(read.to_list()) == read


def test_pairs_and_exported_turns_are_exchanges() -> None:
    said = History().add_user("a").add_bot("b").add_user("c")
    assert History.from_list([["a", "b"], ["c", None]]) == said
    assert History.from_list([("a", "b"), (None, None), ("c", None)]) == said
    exported = {"session": "x", "turns": [{"message": "a", "reply": "b", "skill": "wiki", "facts": []}]}
    assert History.from_list(exported).utterances == (Utterance("user", "a"), Utterance("bot", "b", "wiki"))
    assert History.from_list(exported).utterances[1].skill == "wiki"
    assert History.from_list({"text": "b", "history": said.to_list()}) == said


def test_a_long_utterance_is_cut_at_once_and_told() -> None:
    long = "x" * 20_000_000 + " the end"
    started = time.perf_counter()
    for read in (
        History.from_list([{"speaker": "user", "text": long}, {"role": "system", "content": long}, "short"]),
        History.of(History((Utterance("user", long), Utterance("bot", "short")), instructions=("Be kind.",))),
    ):
        assert read.utterances[0].text.endswith("the end")
        assert len(read.utterances[0].text) == MOST_TEXT
        assert "history[0] had 20,000,008 characters; only the last 20,000 were read" in read.notes
        assert not read.add_user("more").notes, "told once, by the turn that reads it"
        assert len(read.instructions) == 1
    assert time.perf_counter() - started < 1


def test_a_lone_surrogate_can_be_printed() -> None:
    assert History.from_list([{"speaker": "user", "text": "a\ud800b"}]).texts == ("a?b",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "not JSON: RecursionError"),
        (b'{"messages": ' * 100_000, "not JSON: RecursionError"),
        (b"9" * 5_000, "not JSON: .*digits"),
        (b"\xff\xfe", "not JSON: .*utf-8"),
        (b"", "not JSON: Expecting value"),
        (b"{}", "a history is a list"),
        (b'[{"speaker": "user"}]', r'history\[0\] has no "text"'),
        (b'["a\\ud800", 5]', r"history\[1\] is neither"),
    ],
)
def test_a_file_that_is_no_history_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "talk.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_history(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text('\ufeff[["Hi!", "Hello."]]', encoding="utf-8")
    assert read_history(path) == History().add_user("Hi!").add_bot("Hello.")
    with path.open("r+b") as stream:
        stream.truncate(2**32)
    for bad in (path, tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(InputError, match=rf"{bad}: (?:larger than 64 MB|Is a dir|No such|not a regular)"):
            read_history(bad)


def test_what_is_shown_begins_alike_for_turns_in_a_row() -> None:
    texts = [f"text {i}" for i in range(25)]
    first = [History.from_list(texts[:n]).shown(5).texts[0] for n in range(1, 26, 2)]
    assert first == ["text 0"] * 5 + ["text 6"] * 3 + ["text 12"] * 3 + ["text 18"] * 2
    assert all(5 <= len(History.from_list(texts[:n]).shown(5).texts) <= 10 for n in range(5, 26))
    assert History.from_list(texts[:7]).shown(1).texts == ("text 6",), "of one turn the message alone"
