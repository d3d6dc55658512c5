"""Claims: the verdict on what was said, denials and numbers, files that cannot be used, and how often it is right."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TESTS
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Fact, Verdict
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.knowledge.claims.source import ClaimSource, read_claims, write_vectors
from adapterbot.knowledge.claims.statements import read, statements
from adapterbot.manager.encoder import Encoder, load_encoder
from adapterbot.spec.folders import PACKAGE_SKILLS
from adapterbot.spec.tables import KnowledgeTable, SkillSpec

SHIPPED = PACKAGE_SKILLS / "covid_claims" / "claims.jsonl"
LABELLED = TESTS / "labelled" / "claim_queries.jsonl"
QUERIES = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
TEA = {
    "title": "Tea and sleep",
    "text": "Green tea has caffeine, which keeps most people awake.",
    "true": ["Green tea keeps people awake", "There is caffeine in green tea"],
    "false": ["Green tea helps people to sleep", "Green tea has no caffeine", "Two cups of green tea cure headaches"],
    "open": ["Green tea makes people happy"],
}


class Words:
    """A small real encoder: a text is the counts of its words' hashes, as a unit vector. Counts what it encodes."""

    def __init__(self, fingerprint: str = "words") -> None:
        self.fingerprint, self.encoded = fingerprint, list[str]()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += texts
        rows = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[sum(word.encode()) % 64] += 1
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def talk(*turns: str) -> History:
    """A conversation whose last turn is the user's."""
    history = History()
    for i, text in enumerate(turns):
        history = history.add_user(text) if (len(turns) - i) % 2 else history.add_bot(text)
    return history


def write(folder: Path, *claims: Any) -> Path:
    path = folder / "claims.jsonl"
    path.write_text("".join(json.dumps(claim) + "\n" for claim in claims), encoding="utf-8")
    return path


@pytest.fixture
def tea(tmp_path: Path, home: Home) -> ClaimSource:
    """A source with one claim and no encoder."""
    return ClaimSource(write(tmp_path, TEA), home)


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load_encoder("minilm", None)


def verdict(facts: Sequence[Fact]) -> str:
    """The label of the one verdict found; "" where nothing is."""
    labels = [fact.label for fact in facts if isinstance(fact, Verdict)]
    assert len(labels) == len(facts) <= 1
    return labels[0] if labels else ""


# -- the verdict ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Green tea keeps people awake.", "supported"),
        ("Is it true that green tea keeps people awake?", "supported"),
        ("Green tea does not keep people awake.", "contradicted"),
        ("It's a myth that green tea has no caffeine.", "supported"),
        ("Is it a myth that green tea keeps people awake?", "contradicted"),
        ("My aunt says green tea helps people to sleep, is that right?", "contradicted"),
        ("I don't believe that green tea has no caffeine", "supported"),
        ("Green tea makes people happy", "not known"),
        ("Green tea doesn't make people happy", "not known"),
        ("Two cups of green tea cure headaches", "contradicted"),
        ("Three cups of green tea cure headaches", ""),
        ("Only green tea keeps people awake", ""),
        ("Black coffee keeps dogs awake", ""),
        ("How does green tea keep people awake?", ""),
        ("The bus is late.", ""),
    ],
)
def test_a_verdict_follows_denials_numbers_and_limits(tea: ClaimSource, message: str, expected: str) -> None:
    facts = tea.retrieve(talk(message))
    assert verdict(facts) == expected
    assert [fact.line for fact in facts] == ([f"verdict: {expected}\n{TEA['text']}"] if expected else [])


def test_a_verdict_has_its_claim_evidence_and_score(tea: ClaimSource) -> None:
    (fact,) = tea.retrieve(talk("There is caffeine in green tea"))
    assert fact == Verdict("Tea and sleep", "supported", str(TEA["text"]), source="claims", score=1.0)
    assert fact.heading == "Tea and sleep"


def test_the_nearest_phrasing_judges_and_a_denial_of_it_is_less_sure(tea: ClaimSource) -> None:
    said, denied = (tea.judge(read(f"Green tea {verb} people awake")) for verb in ("keeps", "does not keep"))
    assert said
    assert denied
    assert (said.label, denied.label) == ("supported", "contradicted")
    assert said.claim.title == denied.claim.title == "Tea and sleep"
    assert denied.score < said.score
    assert tea.judge(read("The bus is late")) is None


@pytest.mark.parametrize("asked", ["Is that true?", "Really?", "are you sure", "Why?"])
def test_a_question_about_the_last_claim_is_about_that(tea: ClaimSource, asked: str) -> None:
    assert verdict(tea.retrieve(talk("Green tea has no caffeine.", "Contradicted.", asked))) == "contradicted"


def test_a_new_topic_is_not_judged_by_the_last_claim(tea: ClaimSource) -> None:
    assert tea.retrieve(talk("Green tea has no caffeine.", "Contradicted.", "What is the capital of Peru?")) == []


def test_the_claim_is_found_among_other_sentences(tea: ClaimSource) -> None:
    message = "I slept badly. My sister says that green tea has no caffeine! She lives in Leeds."
    assert verdict(tea.retrieve(talk(message))) == "contradicted"


def test_two_verdicts_that_are_equally_near_give_none(tmp_path: Path, home: Home) -> None:
    other = {"title": "Other", "text": "Another view.", "true": ["Red wine stains"], "false": []}
    source = ClaimSource(write(tmp_path, other, {**other, "true": [], "false": ["Red wine stains"]}), home)
    assert source.retrieve(talk("Red wine stains")) == []


@settings(deadline=None)
@example("☃ is it true that that that")
@given(st.text(max_size=200))
def test_any_message_gets_a_whole_verdict_or_none(message: str) -> None:
    facts = LENIENT.retrieve(talk(message)) if message.strip() else []
    assert len(facts) in (0, 2)


# -- how a claim is worded --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "text", "negative"),
    [
        ("So I've heard that tea stains, is that true?", "tea stains", False),
        ("Tea does not stain teeth.", "Tea does not stain teeth", True),
        ("Can you check whether tea stains teeth?", "tea stains teeth", False),
        ("The claim that tea stains teeth is false", "tea stains teeth", True),
        ("It is a myth that tea doesn't stain teeth", "tea doesn't stain teeth", False),
        ("Isn't green tea healthy?", "Isn't green tea healthy", False),
        ("Aren't tea bags useless?", "Aren't tea bags useless", True),
        ("People without symptoms drink tea", "People without symptoms drink tea", False),
        ("People with no symptoms drink tea", "People without symptoms drink tea", False),
        ("Tea bags do nothing, right?", "Tea bags do nothing", True),
        ("You may drink tea & no milk", "You may drink tea without milk", False),
        ("Green tea is free of caffeine.", "Green tea is free of caffeine", True),
    ],
)
def test_what_frames_a_claim_is_taken_off_and_denials_are_counted(sentence: str, text: str, negative: bool) -> None:
    said = read(sentence)
    assert (said.text, said.negative) == (text, negative)


@pytest.mark.parametrize(
    ("one", "other", "denies"),
    [
        ("Covid is deadlier than flu", "Flu is deadlier than covid", True),
        ("Covid is deadlier than flu", "Covid is not deadlier than flu", True),
        ("The vaccine is safe for women", "The vaccine is dangerous for women", True),
        ("Masks lower the risk", "Masks raise the risk", True),
        ("Masks lower the risk", "Masks don't raise the risk", False),
        ("Covid is deadlier than flu", "Covid is more dangerous than flu", False),
    ],
)
def test_who_says_the_opposite(one: str, other: str, denies: bool) -> None:
    assert read(one).denies(read(other)) is read(other).denies(read(one)) is denies


@settings(deadline=None)
@given(st.text(max_size=300))
def test_nothing_denies_itself(message: str) -> None:
    for said in statements(message):
        assert not said.denies(said) or said.compared[0] & said.compared[1]
        assert said.agrees(said)


@pytest.mark.parametrize(
    "part", ["!", ", ", "so ", "i say ", "is it an all just ", "my x x says ", "x-", "1,", "masks not "]
)
def test_a_long_message_is_read_in_no_time(part: str) -> None:
    started = time.process_time()
    statements(part * 20_000 + "masks work")
    assert time.process_time() - started < 2


def test_a_comparison_is_another_claim() -> None:
    assert not read("Gloves are better than washing hands").agrees(read("Wash your hands"))


def test_the_digits_of_names_are_no_numbers() -> None:
    assert read("COVID-19 and SARS-CoV-2 killed 7,000 of two million people by 5G").numbers == {"7000", "2", "million"}


# -- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b"[1]", "a claim is an object"),
        (b'{"title": "T", "text": " ", "true": ["a b"]}', "a claim is an object"),
        (b'{"title": "T", "text": "x", "true": "a b"}', '"true" is a list of texts'),
        (b'{"title": "T", "text": "x", "false": ["a", ""]}', '"false" is a list of texts'),
        (b'{"title": "T", "text": "x"}', "needs a phrasing"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, problem: str) -> None:
    path = write(tmp_path, TEA)
    path.write_bytes(path.read_bytes() + b"\n" + line + b"\n")
    with pytest.raises(KnowledgeError, match=f"claims.jsonl:3: .*{problem}"):
        list(read_claims(path))


def test_a_missing_file_is_an_error(tmp_path: Path, home: Home) -> None:
    write(tmp_path, TEA)
    knowledge = KnowledgeTable(source="claims", file="other.jsonl")
    spec = SkillSpec(name="mine", folder=tmp_path, summary="s", group="knowledge", knowledge=knowledge)
    with pytest.raises(KnowledgeError, match="no file"):
        open_source(Opening(spec, home))


def test_vectors_are_made_once_and_again_for_another_encoder_or_content(tmp_path: Path, home: Home) -> None:
    path, first, second = write(tmp_path, TEA), Words(), Words()
    message = talk("Green tea has no caffeine")
    assert verdict(ClaimSource(path, home, first).retrieve(message)) == "contradicted"
    assert verdict(ClaimSource(path, home, second).retrieve(message)) == "contradicted"
    assert (len(first.encoded), len(second.encoded)) == (7, 1)
    third = Words("others")
    ClaimSource(path, home, third).retrieve(message)
    write(tmp_path, TEA, {**TEA, "title": "More", "true": ["Tea grows in Asia"], "false": []})
    ClaimSource(path, home, second).retrieve(message)
    assert (len(third.encoded), len(second.encoded)) == (7, 1 + 9)


def test_shipped_vectors_save_the_encoding_and_damaged_ones_only_time(tmp_path: Path, home: Home) -> None:
    path, maker, user = write(tmp_path, TEA), Words(), Words()
    made = write_vectors(maker, path)
    ClaimSource(path, home, user).retrieve(talk("Green tea has no caffeine"))
    assert len(user.encoded) == 1
    assert not home.knowledge.exists()
    made.write_bytes(b"damaged")
    assert verdict(ClaimSource(path, home, user).retrieve(talk("Green tea has no caffeine"))) == "contradicted"
    assert len(user.encoded) == 8


# -- how often it is right --------------------------------------------------------------------------------------------

LENIENT = ClaimSource(SHIPPED, Home(Path("never written")), threshold=0.05)


def outcomes(source: ClaimSource, part: str) -> Counter[str]:
    """`right`, `missed` (no verdict where there is one), `wrong`, over the labelled messages of a part."""
    found = Counter[str]()
    for query in (q for q in QUERIES if q["part"] == part):
        said = verdict(source.retrieve(talk(query["message"])))
        found["right" if said == query["verdict"] else "wrong" if said else "missed"] += 1
    return found


@pytest.mark.parametrize(("part", "right", "wrong"), [("tuning", 0.95, 1), ("held out", 0.85, 2)])
def test_verdicts_on_labelled_messages(home: Home, minilm: Encoder, part: str, right: float, wrong: int) -> None:
    found = outcomes(ClaimSource(SHIPPED, home, minilm), part)
    assert found["right"] / found.total() >= right, found
    assert found["wrong"] <= wrong, found
    assert not home.knowledge.exists()  # the shipped vectors are those of the shipped claims


@pytest.mark.parametrize(("part", "right", "wrong"), [("tuning", 0.8, 2), ("held out", 0.7, 2)])
def test_verdicts_on_labelled_messages_without_an_encoder(home: Home, part: str, right: float, wrong: int) -> None:
    found = outcomes(ClaimSource(SHIPPED, home), part)
    assert found["right"] / found.total() >= right, found
    assert found["wrong"] <= wrong, found
