"""The vocabulary: any text comes back exactly, and `transformers` reads it the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.data.dialogue import read_dialogues
from adapterbot.errors import DataError
from adapterbot.home import DATA
from adapterbot.network.tokenizer import SEPARATOR, Tokenizer
from adapterbot.training.vocabulary import train_vocabulary

ODD = ["", " ", "   ", "a", " a", "  a ", "▁", "a▁b", "\n\na\t b", "héé 日本 🎉", SEPARATOR, "<0x41>", "<unk>", "10:45"]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [
        t.text
        for name in ("chitchat", "wiki")
        for d in read_dialogues(DATA / "samples" / f"{name}.jsonl")
        for t in d.turns
    ]


@pytest.fixture(scope="module")
def tokenizer(texts: list[str]) -> Tokenizer:
    return train_vocabulary(texts, 700)


def test_it_has_the_size_that_was_asked_for(tokenizer: Tokenizer) -> None:
    assert tokenizer.size == 700


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_come_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.separator not in ids
    assert tokenizer.decode(ids) == text


def test_words_are_pieces_and_the_first_word_is_the_same_as_inside(tokenizer: Tokenizer, texts: list[str]) -> None:
    pieces = sum(len(tokenizer.encode(text)) for text in texts)
    assert pieces < 0.5 * sum(len(text.encode()) for text in texts)
    assert tokenizer.encode("you and you") == [
        *tokenizer.encode("you"),
        *tokenizer.encode("and"),
        *tokenizer.encode("you"),
    ]


def test_digits_stand_alone(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("2026")) >= 4


def test_transformers_reads_the_file_the_same(tokenizer: Tokenizer, texts: list[str], tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_folder(tmp_path)
    for text in [*texts[:50], *ODD]:
        assert again.encode(text) == tokenizer.encode(text)
        if SEPARATOR not in text and "<unk>" not in text:
            assert theirs.encode(text, add_special_tokens=False) == tokenizer.encode(text)


def test_a_vocabulary_larger_than_the_data_allows_says_how_large_it_can_be() -> None:
    with pytest.raises(DataError, match=r"8,192 is larger than this data allows: at most \d+"):
        train_vocabulary(["hi there"] * 3, 8192, exact=True)
    assert 256 < train_vocabulary(["hi there"] * 3, 8192).size < 400


def test_a_vocabulary_smaller_than_the_bytes_says_what_is_needed() -> None:
    with pytest.raises(DataError, match=r"100 is too small: bytes and letters of this data need \d+"):
        train_vocabulary(["hi there"] * 3, 100)


def test_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="no text"):
        train_vocabulary(["", " "], 1000)
