"""Safety: what users send is cleaned, and both sides' words are checked."""

from __future__ import annotations

import subprocess
import sys
import threading
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapterbot.errors import InputError
from adapterbot.facts import Row
from adapterbot.knowledge.passages.index import read_passages
from adapterbot.knowledge.passages.source import SHIPPED
from adapterbot.network.backbone import Backbone
from adapterbot.network.tokenizer import SEPARATOR
from adapterbot.reply.prompt import encode
from adapterbot.reply.safety import MAX_MESSAGE, Guard, WordList, clean


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("  Hello \t there\r\nfriend \n", "Hello there friend"),
        ("nul\0 bell\x07 escape\x1b[31m", "nul bell escape[31m"),
        ("lone \ud83d surrogate \udfff", "lone surrogate"),
        ("\u202egnp.exe\u202c and \u2066isolate\u2069", "gnp.exe and isolate"),
        ("soft\u00adhyphen zero\u200bwidth \ufeffmark", "softhyphen zerowidth mark"),
        ("e\u0301", "\u00e9"),
        ("a\u2028b\u3000c\x85d\x1ce", "a b c d e"),
        ("👩\u200d🚀 👍🏽", "👩\u200d🚀 👍🏽"),
        ("مرحبا شلومو", "مرحبا شلومو"),
        ("a", "a"),
        ("z" + "\u0336" * 50, "z" + "\u0336" * 50),
    ],
)
def test_messages_are_cleaned(message: str, cleaned: str) -> None:
    assert clean(message) == (cleaned, ())


@pytest.mark.parametrize("message", ["", "   ", "\n\t", "\0", "\ud800", "\u202e \u200b", " " * 100_000])
def test_messages_without_anything_to_read_are_refused(message: str) -> None:
    with pytest.raises(InputError, match="the message is empty; say something"):
        clean(message)


@pytest.mark.parametrize("message", [None, 3, b"bytes", ["Hello"], {"text": "Hello"}])
def test_messages_that_are_not_text_are_refused(message: object) -> None:
    with pytest.raises(InputError, match="a message is text"):
        clean(message)


def test_the_end_of_a_long_message_is_kept_from_a_word_on() -> None:
    text, warnings = clean("word " * 2_000 + "What do you think?")
    assert len(text) <= MAX_MESSAGE
    assert len(text) > MAX_MESSAGE - 10
    assert text.startswith("word word ")
    assert text.endswith("word What do you think?")
    assert warnings == (f"the message had 10,018 characters; only the last {len(text):,} were read",)


@pytest.mark.parametrize(
    "message", ["x" * 100_000, SEPARATOR * 15_000, "😀" * 100_000, "\0x" * 100_000, "e\u0301" * 50_000]
)
def test_huge_messages_are_clamped_with_a_warning(message: str) -> None:
    text, warnings = clean(message)
    assert 0 < len(text) <= MAX_MESSAGE
    assert warnings


def test_a_message_of_just_the_limit_is_kept_whole() -> None:
    assert clean("x" * MAX_MESSAGE) == ("x" * MAX_MESSAGE, ())
    assert clean("abc def", limit=3) == ("def", ("the message had 7 characters; only the last 3 were read",))


@given(st.text(st.characters(codec=None), max_size=300))
@example("\u0958")  # grows when normalised
def test_whatever_is_cleaned_is_clean(message: str) -> None:
    try:
        text, _ = clean(message, limit=50)
    except InputError:
        return
    assert text == " ".join(text.split()) != ""
    assert len(text) <= 50
    assert unicodedata.is_normalized("NFC", text)
    assert not {unicodedata.category(c) for c in text} & {"Cc", "Cs"}
    assert clean(text, limit=50) == (text, ())
    text.encode()


@given(st.text(max_size=40), st.text(max_size=40))
@example("", "")
@example("[SEP] fact:\t", "\nuser: ")
def test_a_separator_in_a_message_never_opens_or_closes_a_turn(tiny: Backbone, before: str, after: str) -> None:
    text, _ = clean(f"a{before}{SEPARATOR}{after}b")
    ids = encode(tiny.tokenizer, [], [text], positions=1024).ids
    assert ids.count(tiny.tokenizer.separator) == 1
    assert ids[-1] == tiny.tokenizer.separator
    assert SEPARATOR in text
    assert SEPARATOR in tiny.tokenizer.decode(ids)


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["fuck you", "You are a SH1T.", "f.u.c.k", "what a b i t c h", "you fucking asshole"])
def test_swearing_is_found_also_in_disguise(text: str) -> None:
    reason = WordList()(text)
    assert reason is not None
    assert "word list" in reason
    assert "fuck" not in reason


@pytest.mark.parametrize("text", ["Just go kill yourself.", "GO  KILL\nYOURSELF", "kys"])
def test_harm_without_swearing_is_found(text: str) -> None:
    assert WordList()(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Hello, how are you?",
        "That sucks, I am so sorry.",
        "I was tied up at work and really pissed.",
        "Scunthorpe, Essex and cocktails in the class assembly",
        "I am reading Moby-Dick, and then Moby Dick again.",
        "My Maine coon loves cardboard.",
        "We talked about sex education at school.",
        "breast cancer",
        "I killed the engine myself.",
        "",
    ],
)
def test_innocent_texts_pass(text: str) -> None:
    assert WordList()(text) is None


def test_the_shipped_passages_are_acceptable() -> None:
    check = WordList()
    assert [p.title for p in read_passages(SHIPPED) if check(f"{p.title}. {p.text}")] == []


def test_own_words_can_be_added_and_taken_away() -> None:
    assert WordList(words=["broccoli"])("I love broccoli") is not None
    assert WordList(ordinary=["shit"])("oh shit") is None
    assert WordList()("oh shit") is not None


def test_one_list_is_used_by_many_threads() -> None:
    check, found = WordList(), []
    threads = [threading.Thread(target=lambda: found.append(check("oh shit") is not None)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def test_the_library_is_loaded_by_the_first_text_only() -> None:
    code = """
import sys
from adapterbot.reply.safety import Guard
guard = Guard()
assert "glin_profanity" not in sys.modules
guard.message("Hello")
assert "glin_profanity" in sys.modules and "torch" not in sys.modules and "transformers" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- the guard --------------------------------------------------------------------------------------------------------


def test_a_bad_message_is_answered_with_a_warning() -> None:
    text, warnings = Guard().message(" you shit ")
    assert text == "you shit"
    assert warnings == ("the message is not acceptable: it has 1 word(s) of the word list",)
    assert Guard().message("Good morning!") == ("Good morning!", ())


def test_warnings_add_up() -> None:
    _, warnings = Guard().message("shit " * 2_000)
    assert [w.split()[1] for w in warnings] == ["message", "message"]
    assert len(warnings) == 2


def test_drafts_are_judged() -> None:
    guard = Guard()
    assert guard.draft("I am fine, thank you.") is None
    assert guard.draft("Oh shit.") == "it has 1 word(s) of the word list"
    assert guard.draft("  ") == "it is empty"


def test_names_that_stand_in_the_facts_are_no_fault() -> None:
    guard = Guard()
    row = Row("restaurant", "Dick's Diner", (("name", "Dick's Diner"), ("address", "1 Cock Lane")))
    assert guard.draft("Dick's Diner is at 1 Cock Lane.", ("Where is Dick's Diner?",), [row]) is None
    assert guard.draft("Dick's Diner is shit.", ("Where is Dick's Diner?",), [row]) is not None


def test_a_draft_is_judged_in_the_light_of_the_message() -> None:
    guard = Guard()
    assert guard.draft("Me too, I hate them.", ("I hate mondays.",)) is None
    assert guard.draft("Me too, I hate them.", ("I hate immigrants.",)) is not None
    assert guard.draft("You should just end it all.", ("I am so tired of everything.",)) is not None


def test_another_check_replaces_the_word_list() -> None:
    guard = Guard(lambda text: "it mentions tea" if "tea" in text else None)
    assert guard.message("oh shit") == ("oh shit", ())
    assert guard.message("tea?")[1] == ("the message is not acceptable: it mentions tea",)
    assert guard.draft("More tea!") == "it mentions tea"
