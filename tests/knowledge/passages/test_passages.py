"""Knowledge sources: what is found, what is not, and files that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TESTS
from conversations import THREE, Letters, skill, talk, titles, write
from hypothesis import example, given
from hypothesis import strategies as st

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Nothing, Passage, PersonaLine
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, Similarity, open_source
from adapterbot.knowledge.passages.cutting import opening
from adapterbot.knowledge.passages.index import Index, read_passages
from adapterbot.knowledge.passages.source import SHIPPED, PassageSource, write_vectors
from adapterbot.knowledge.query import asks, queries
from adapterbot.language.words import MAX_TERMS, terms
from adapterbot.manager.encoder import Encoder, load_encoder

LABELLED = TESTS / "labelled" / "passage_queries.jsonl"
QUERIES = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load_encoder("minilm")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> PassageSource:
    return PassageSource(SHIPPED, Home(tmp_path_factory.mktemp("home")))


# -- open_source ------------------------------------------------------------------------------------------------------


def test_a_skill_without_knowledge_finds_nothing(home: Home, tmp_path: Path) -> None:
    assert open_source(Opening(skill(tmp_path), home, None)).retrieve(talk("Tell me about jazz.")) == []


def test_when_empty_stands_for_nothing(home: Home, tmp_path: Path) -> None:
    empty = open_source(Opening(skill(tmp_path, when_empty="forecast: not available"), home))
    assert empty.retrieve(talk("Rain?")) == [Nothing("forecast", "not available")]
    passages = open_source(Opening(skill(tmp_path, source="passages", when_empty="no passage"), home))
    assert passages.retrieve(talk("hello how are you")) == [Passage("", "no passage")]
    assert titles(passages.retrieve(talk("Tell me something about jazz."))) == ["Jazz"]


def test_persona_lines_come_from_the_spec_or_a_file(home: Home, tmp_path: Path) -> None:
    expected = [PersonaLine(text, source="persona", score=1.0) for text in ("I like tea.", "I have a dog.")]
    inline = skill(tmp_path, source="persona", lines=("I like  tea.", " ", "I have a dog."))
    assert open_source(Opening(inline, home)).retrieve(talk("hi")) == expected
    (tmp_path / "me.txt").write_bytes("\ufeffI like tea.\r\n\r\nI have a dog.\r\n".encode())
    assert open_source(Opening(skill(tmp_path, source="persona", file="me.txt"), home)).retrieve(History()) == expected


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("", "needs `file`"),
        ("nosuch.txt", "there is no file"),
        ("../outside.txt", "inside the skill's folder"),
        ("/etc/passwd", "inside the skill's folder"),
        ("a\0b", "inside the skill's folder"),
        ("link.txt", "inside the skill's folder"),
        ("latin.txt", r"not UTF-8 \(byte 1\)"),
        ("empty.txt", "empty"),
    ],
)
def test_persona_files_that_cannot_be_used(file: str, message: str, home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "latin.txt").write_bytes(b"n\xe9")
    (folder / "empty.txt").write_text("\n \n")
    with pytest.raises(KnowledgeError, match=message):
        open_source(Opening(skill(folder, source="persona", file=file), home))


def test_the_tables_settings_reach_the_passages(home: Home, tmp_path: Path) -> None:
    write(tmp_path / "own.jsonl")
    found = open_source(Opening(skill(tmp_path, source="passages", file="own.jsonl", limit=3, threshold=0.0), home))
    assert titles(found.retrieve(talk("hot tea, bread and snow"))) == ["Tea", "Bread", "Snow"]
    strict = open_source(Opening(skill(tmp_path, source="passages", file="own.jsonl", threshold=99.0), home))
    assert strict.retrieve(talk("hot tea")) == []


# -- what to search for -----------------------------------------------------------------------------------------------


def test_terms_are_the_content_words() -> None:
    assert terms("Do you know who painted the Mona Lisa? I don't!") == ("painted", "mona", "lisa")
    assert terms("What's Alice's   ALICE'S story about, it's O'Brien’s") == ("alice", "story", "o'brien")
    assert terms("hello how are you") == ()
    assert len(terms(" ".join(f"w{i}" for i in range(10_000)))) == MAX_TERMS


def test_older_turns_are_tried_only_when_the_newest_refers_back() -> None:
    followed = talk("I like jazz.", "Me too.", "and opera", "Oh.", "Who founded it?")
    (newest, joined), (older,) = queries(followed)
    assert (newest.terms, joined.terms, older.terms) == (("founded",), ("opera", "founded"), ("jazz", "founded"))
    assert joined.text == "and opera Who founded it?"
    assert [[q.terms for q in group] for group in queries(talk("I like jazz.", "Me too.", "tell me more"))] == [
        [("jazz",)]
    ]
    ((alone,),) = queries(talk("I like jazz.", "Me too.", "my landlord raised the rent this month"))
    assert alone.text.startswith("my landlord")
    assert queries(History()) == queries(talk("hello")) == []
    assert queries(History().add_bot("Do you like jazz?")) == []


# -- passages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["minilm", None])
def test_passages_for_what_people_say(encoder: str | None, home: Home, request: pytest.FixtureRequest) -> None:
    source = PassageSource(SHIPPED, home, request.getfixturevalue("minilm") if encoder else None)
    for message, expected in [
        ("Tell me something about jazz.", "Jazz"),
        ("I love dogs", "Dogs"),
        ("who invented the telephone?", "Telephone"),
    ]:
        (fact,) = source.retrieve(talk(message))
        assert (fact.heading, fact.source) == (expected, "passages")
        assert fact.score > 0
        assert expected.lower() in fact.line.lower()
    for message in ("hello how are you", "What is your name?", "I feel so alone.", "", "😀", "'"):
        assert source.retrieve(talk(message)) == []
    (fact,) = source.retrieve(talk("I really like Studio Ghibli.", "Me too!", "who founded it?"))
    assert fact.heading == "Studio Ghibli"


@pytest.mark.parametrize(("encoder", "floor"), [("minilm", (0.97, 0.95)), (None, (0.9, 0.9))])
def test_the_labelled_queries(
    encoder: str | None, floor: tuple[float, float], home: Home, request: pytest.FixtureRequest
) -> None:
    ids = {item["title"]: item["id"] for item in map(json.loads, SHIPPED.read_text(encoding="utf-8").splitlines())}
    source = PassageSource(SHIPPED, home, request.getfixturevalue(encoder) if encoder else None)
    for part, least in zip(("tuning", "held-out"), floor, strict=True):
        right = [
            ids[facts[0].heading] in row["expected"]
            if (facts := source.retrieve(talk(*row["turns"])))
            else not row["expected"]
            for row in QUERIES
            if row["part"] == part
        ]
        assert len(right) >= 40
        assert sum(right) / len(right) >= least


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        (["How long do cats sleep?"], "12 hours"),
        (["Tell me about black holes.", "They are dark.", "Is there a picture of them?"], "first picture"),
        (["Tell me about Marie Curie.", "She was Polish.", "What did she discover?"], "polonium"),
        (["Who was Marie Curie, did she win the Nobel Prize?"], "Nobel Prizes"),
    ],
)
def test_of_a_passage_comes_what_was_asked_for(minilm: Encoder, home: Home, turns: list[str], told: str) -> None:
    (fact,) = PassageSource(SHIPPED, home, minilm).retrieve(talk(*turns))
    start = next(p.text for p in read_passages(SHIPPED) if p.title == fact.heading).split(".")[0]
    assert fact.line.startswith(start), "what it is about comes first"
    assert told in fact.line


@given(turns=st.lists(st.text(st.characters(codec=None)), min_size=1, max_size=4))
@example(turns=['" OR title:jazz'])
@example(turns=["jazz* NEAR(jazz blues, 2) AND NOT {title} : x"])
@example(turns=["^jazz - + () [] ; -- DROP TABLE passage \0 \ud800"])
def test_whatever_is_said_can_be_searched_for(shipped: PassageSource, turns: list[str]) -> None:
    assert len(shipped.retrieve(talk(*turns))) <= 1


def test_a_question_about_somebody_else_finds_nothing(home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [("Old mill", "The capital of Tarland has an old mill.")])
    source = PassageSource(path, home, threshold=-1.0)
    assert titles(source.retrieve(talk("What is the capital of Tarland?"))) == ["Old mill"]
    assert source.retrieve(talk("What is the capital of Ruritania?")) == []
    assert titles(source.retrieve(talk("What does Ida know of the old mill?"))) == ["Old mill"], "its title was named"
    assert titles(source.retrieve(talk("I live in the capital of Ruritania."))) == ["Old mill"], "no question"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Who was Tycho Brahe?", True),
        ("please explain gravity", True),
        ("Can you tell me about jazz?", True),
        ("do you know anything about jazz", True),
        ("How are you?", False),
        ("What do you do for a living?", False),
        ("Why?", False),  # about what was said before
        ("I know who did it", False),
        ("Have you ever been to Portugal?", False),
        ("", False),
    ],
)
def test_who_asks_of_the_world(text: str, asked: bool) -> None:
    assert asks(text) is asked


def test_a_collection_of_one_passage_works(home: Home, tmp_path: Path) -> None:
    source = PassageSource(write(tmp_path / "one.jsonl", THREE[:1]), home)
    assert titles(source.retrieve(talk("I drink tea every day"))) == ["Tea"]
    assert source.retrieve(talk("I drive every day")) == []


def test_re_ranking_decides_and_encodes_each_passage_once(home: Home, tmp_path: Path) -> None:
    passages = [("Aaa", "zebra zzzz zzzz"), ("Bbb", "zebra eeee rrrr bbbb")]
    encoder = Letters()
    path = write(tmp_path / "p.jsonl", passages)
    source = PassageSource(path, home, encoder, limit=2, threshold=-1.0)
    assert titles(source.retrieve(talk("zebra berber"))) == ["Bbb", "Aaa"]
    assert sorted(encoder.encoded) == ["Aaa. zebra zzzz zzzz", "Bbb. zebra eeee rrrr bbbb", "zebra berber"]
    encoder.encoded.clear()
    again = PassageSource(path, home, encoder, limit=2, threshold=-1.0)  # another process, later
    assert titles(again.retrieve(talk("zebra zzz"))) == ["Aaa", "Bbb"]
    assert encoder.encoded == ["zebra zzz"]
    other = Letters("another encoder")
    PassageSource(path, home, other, threshold=-1.0).retrieve(talk("zebra"))
    assert len(other.encoded) == 3


def test_scores_are_the_cosine_and_the_titles_share(home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [("Green tea", "Leaves.")])
    (fact,) = PassageSource(path, home, Letters(), threshold=-1.0).retrieve(talk("green"))
    rows = Letters().encode(["green", "Green tea. Leaves."])
    assert fact.score == pytest.approx(float(rows[0] @ rows[1]) + 0.1 * 0.5, abs=2e-3)


def test_the_shipped_vectors_belong_to_the_shipped_passages(minilm: Encoder, home: Home) -> None:
    """When this fails the passages were edited: `write_vectors(load_encoder("minilm"))` makes the file again."""
    spy = Spy(minilm)
    source = PassageSource(SHIPPED, home, spy)
    assert titles(source.retrieve(talk("Tell me something about jazz."))) == ["Jazz"]
    assert len(spy.encoded) < 5, "the message, and the sentences of one passage"
    passages = list(read_passages(SHIPPED))
    kept = Index.open(SHIPPED, home.knowledge).vectors(minilm.fingerprint, range(1, len(passages) + 1))
    for passage in passages[::60]:
        row = np.frombuffer(kept[passage.row], dtype=np.float16)
        fresh = np.asarray(minilm.encode([f"{passage.title}. {passage.text}"]))[0]
        assert float(row @ fresh) == pytest.approx(1.0, abs=2e-3)


class Spy:
    """An encoder that remembers what it was asked."""

    def __init__(self, encoder: Similarity) -> None:
        self._encoder, self.fingerprint, self.encoded = encoder, encoder.fingerprint, list[str]()

    def encode(self, texts: Sequence[str]) -> Any:
        self.encoded += texts
        return self._encoder.encode(texts)


def test_written_vectors_are_used_while_they_fit(home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl")
    target = write_vectors(Letters(), path)
    assert target == tmp_path / "p.safetensors"
    fits = Letters()
    PassageSource(path, home, fits).retrieve(talk("tea"))
    assert fits.encoded == ["tea"]
    write(path, [*THREE, ("Rain", "Tea from the sky.")])
    stale = Letters()
    PassageSource(path, home, stale).retrieve(talk("tea"))
    assert len(stale.encoded) == 3
    target.write_bytes(b"\xff" * 100)
    with pytest.raises(KnowledgeError, match="damaged"):
        PassageSource(write(tmp_path / "p.jsonl"), home, Letters())


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("One. Two. Three.", "One. Two."),
        (
            "J. R. R. Tolkien met Dr. No at St. Paul. He left. Then he slept.",
            "J. R. R. Tolkien met Dr. No at St. Paul. He left.",
        ),
        ('He said "Go!" Then he went. And so on.', 'He said "Go!" Then he went.'),
        ("One word " * 15 + "ends. " + "Two more " * 15 + "end.", ("One word " * 15 + "ends.")),
        ("word " * 50, "word " * 40 + "…"),
        ("No end", "No end"),
    ],
)
def test_the_opening_of_a_passage(text: str, start: str) -> None:
    assert opening(text.strip()) == start


def test_every_shipped_passage_opens_with_two_short_sentences() -> None:
    openings = [opening(passage.text) for passage in read_passages(SHIPPED)]
    assert len(openings) >= 300
    assert all(5 < len(text.split()) <= 40 and text.endswith((".", '."', '".')) for text in openings)
