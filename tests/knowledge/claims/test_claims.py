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
from adapterbot.evaluation.wordings import evaluate_wordings
from adapterbot.facts import Fact, Verdict
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.knowledge.claims.phrasings import read_claims
from adapterbot.knowledge.claims.source import ClaimSource, write_vectors
from adapterbot.knowledge.claims.statements import read, stated
from adapterbot.manager.encoder import Encoder, load_encoder
from adapterbot.spec.folders import PACKAGE_SKILLS
from adapterbot.spec.tables import KnowledgeTable, SkillSpec

SHIPPED = PACKAGE_SKILLS / "covid_claims" / "claims.jsonl"
LABELLED = TESTS / "labelled" / "claim_queries.jsonl"
WRONG = 0.01  # of the verdicts on wordings, at most; the target is none
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
    return load_encoder("minilm")


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
        ("Does green tea keep you awake?", "supported"),
        ("I heard that green tea helps people to sleep, is that right?", "contradicted"),
        ("So, is there caffeine in green tea?", "supported"),
        ("There is caffeine in green tea, isn't it?", "supported"),
        ("Green tea has no caffeine, right?", "contradicted"),
        ("Green tea makes people happy", "not known"),
        ("Green tea helps people to sleep? Thanks!", "contradicted"),
        ("Green tea does not help people to sleep.", "supported"),
        ("Two cups of green tea cure headaches", "contradicted"),
        ("How does green tea keep people awake?", "not known"),
        ("The bus is late.", ""),
    ],
)
def test_a_verdict_is_given_on_what_is_plainly_said(tea: ClaimSource, message: str, expected: str) -> None:
    facts = tea.retrieve(talk(message))
    assert verdict(facts) == expected
    assert [fact.line for fact in facts] == ([f"verdict: {expected}\n{TEA['text']}"] if expected else [])


@pytest.mark.parametrize(
    "message",
    [
        "It's a myth that green tea has no caffeine.",
        "Is it a myth that green tea helps people to sleep?",
        "My aunt says green tea helps people to sleep.",
        "They lied when they said that green tea helps people to sleep.",
        "I don't believe that green tea has no caffeine",
        "It is unlikely that green tea helps people to sleep.",
        "Maybe green tea helps people to sleep.",
        "Doesn't green tea help people to sleep?",
        "If green tea helps people to sleep, I shall drink it.",
        "People who say that green tea has no caffeine are wrong.",
        "Green tea does not only help people to sleep.",
        "Green tea helps people to sleep better than milk.",
        "Only green tea keeps people awake",
        "Three cups of green tea cure headaches",
        "Green tea helps people to sleep. That is nonsense.",
        "Green tea helps people to sleep, not!",
        "Green tea helps people to sleep 🙄",
        'Green tea "helps" people to sleep.',
        "Green tea has no caffeine and keeps people awake.",
        "Green tea keeps dogs awake.",
    ],
)
def test_nothing_else_gets_a_verdict_but_the_evidence(tea: ClaimSource, message: str) -> None:
    (fact,) = tea.retrieve(talk(message))
    assert isinstance(fact, Verdict)
    assert (fact.label, fact.evidence) == ("not known", TEA["text"])


def test_a_verdict_has_its_claim_evidence_and_score(tea: ClaimSource) -> None:
    (fact,) = tea.retrieve(talk("There is caffeine in green tea"))
    assert fact == Verdict("Tea and sleep", "supported", str(TEA["text"]), source="claims", score=1.0)
    assert fact.heading == "Tea and sleep"


@pytest.mark.parametrize("asked", ["Is that true?", "Really?", "are you sure", "Why?"])
def test_a_question_about_the_last_claim_is_about_that(tea: ClaimSource, asked: str) -> None:
    assert verdict(tea.retrieve(talk("Green tea has no caffeine.", "Contradicted.", asked))) == "contradicted"


@pytest.mark.parametrize("said", ["What is the capital of Peru?", "I don't think so.", "That is a lie."])
def test_whatever_else_is_said_is_not_judged_by_the_last_claim(tea: ClaimSource, said: str) -> None:
    assert tea.retrieve(talk("Green tea has no caffeine.", "Contradicted.", said)) == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("I slept badly. Does green tea help people to sleep?", "contradicted"),
        ("Hello! Green tea has no caffeine. Is that true?", "contradicted"),
        ("I slept badly. Green tea has no caffeine!", "not known"),
        ("Green tea has no caffeine. She lives in Leeds.", "not known"),
    ],
)
def test_of_several_sentences_the_last_question_is_judged(tea: ClaimSource, message: str, expected: str) -> None:
    assert verdict(tea.retrieve(talk(message))) == expected


def test_two_verdicts_on_the_same_words_give_none(tmp_path: Path, home: Home) -> None:
    other = {"title": "Other", "text": "Another view.", "true": ["Red wine stains"], "false": []}
    source = ClaimSource(write(tmp_path, other, {**other, "true": [], "false": ["Red wine stains"]}), home)
    assert verdict(source.retrieve(talk("Red wine stains"))) == "not known"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Red wine can stain teeth", "supported"),  # what is so can be so
        ("Can red wine stain teeth?", "supported"),
        ("Red wine cannot stain teeth", "contradicted"),
        ("White wine cleans teeth", "contradicted"),  # what cannot be is not so
        ("Can white wine clean teeth?", "contradicted"),
        ("White wine cannot clean teeth", "supported"),
        ("Black tea stains teeth", "not known"),  # it can, which does not say that it does
        ("Cider can clean teeth", "not known"),  # it does not, which does not say that it cannot
    ],
)
def test_what_can_be_follows_one_way_only(tmp_path: Path, home: Home, message: str, expected: str) -> None:
    true = ["Red wine stains teeth", "Black tea can stain teeth"]
    false = ["White wine can clean teeth", "Cider cleans teeth"]
    source = ClaimSource(write(tmp_path, {"title": "Teeth", "text": "Wine.", "true": true, "false": false}), home)
    assert verdict(source.retrieve(talk(message))) == expected


@settings(deadline=None)
@example("☃ is it true that that that")
@given(st.text(max_size=200))
def test_any_message_gets_a_whole_verdict_or_none(message: str) -> None:
    facts = LENIENT.retrieve(talk(message)) if message.strip() else []
    assert all(isinstance(fact, Verdict) and fact.evidence for fact in facts)
    assert len(facts) <= 1


# -- how a claim is worded --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text", "denied"),
    [
        ("So I've heard that tea stains, is that true?", "tea stains", False),
        ("Tea does not stain teeth.", "Tea does not stain teeth.", True),
        ("Could you check whether tea stains teeth?", "tea stains teeth?", False),
        ("Is tea not good for teeth", None, False),
        ("Isn't green tea healthy?", None, False),
        ("It's true that tea stains teeth", "tea stains teeth", False),
        ("People who don't drink tea sleep", "People who don't drink tea sleep", False),
        ("Tea bags do nothing, right?", "Tea bags do nothing", False),
        ("Tea", None, False),
        ("Tea stains. Milk stains.", None, False),
        ("Tea stains. Does milk stain teeth?", "Does milk stain teeth?", False),
    ],
)
def test_what_is_plainly_stated(message: str, text: str | None, denied: bool) -> None:
    said = stated(message)
    assert (said and said.text, bool(said and said.denied)) == (text, denied)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The COVID-19 vaccine doesn't alter our DNA", "Corona jabs do not change your DNA"),
        ("Is the vaccine safe?", "The vaccine is safe"),
        ("Kids cannot get covid", "Children can't catch the coronavirus"),
        ("Face masks work against the virus", "Masks help"),
        ("SARS-CoV-2 killed 7,000 people", "The virus killed 7000 people"),
    ],
)
def test_one_thing_is_read_alike_however_it_is_written(one: str, other: str) -> None:
    assert (read(one).words, read(one).denied) == (read(other).words, read(other).denied)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Covid is deadlier than flu", "Flu is deadlier than covid"),
        ("The cause of covid is a virus", "Covid is the cause of a virus"),
        ("Covid is caused by bats", "Covid causes bats"),
        ("MERS is caused by a coronavirus", "MERS is caused by the coronavirus"),
        ("People who are not vaccinated die", "People who are vaccinated do not die"),
        ("Masks do not always work", "Masks work"),
        ("Masks with no valve work", "Masks with a valve work"),
        ("Not every mask works", "Every mask works"),
    ],
)
def test_other_things_are_not(one: str, other: str) -> None:
    assert read(one).words != read(other).words


@pytest.mark.parametrize(
    "part", ["!", ", ", "so ", "i say ", "is it an all just ", "my x x says ", "x-", "1,", "masks not ", "the "]
)
def test_a_long_message_is_read_in_no_time(part: str) -> None:
    started = time.process_time()
    LENIENT.retrieve(talk(part * 20_000 + "masks work"))
    assert time.process_time() - started < 2


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
    message = talk("Maybe green tea has no caffeine")
    assert verdict(ClaimSource(path, home, first).retrieve(message)) == "not known"
    assert verdict(ClaimSource(path, home, second).retrieve(message)) == "not known"
    assert (len(first.encoded), len(second.encoded)) == (7, 1)
    third = Words("others")
    ClaimSource(path, home, third).retrieve(message)
    write(tmp_path, TEA, {**TEA, "title": "More", "true": ["Tea grows in Asia"], "false": []})
    ClaimSource(path, home, second).retrieve(message)
    assert (len(third.encoded), len(second.encoded)) == (7, 1 + 9)


def test_shipped_vectors_save_the_encoding_and_damaged_ones_only_time(tmp_path: Path, home: Home) -> None:
    path, maker, user = write(tmp_path, TEA), Words(), Words()
    made = write_vectors(maker, path)
    ClaimSource(path, home, user).retrieve(talk("Maybe green tea has no caffeine"))
    assert len(user.encoded) == 1
    assert not home.knowledge.exists()
    made.write_bytes(b"damaged")
    assert verdict(ClaimSource(path, home, user).retrieve(talk("Maybe green tea has no caffeine"))) == "not known"
    assert len(user.encoded) == 8


# -- how often it is right --------------------------------------------------------------------------------------------

LENIENT = ClaimSource(SHIPPED, Home(Path("never written")), threshold=0.05)
LABELS = TESTS / "labelled"


def test_no_two_phrasings_disagree_and_a_denied_one_has_the_opposite_verdict() -> None:
    said: dict[tuple[str, ...], set[tuple[str, bool]]] = {}
    for phrasing in LENIENT.phrasings:
        said.setdefault(phrasing.said.words, set()).add((phrasing.affirmed, phrasing.said.denied))
    assert [words for words, verdicts in said.items() if len({affirmed for affirmed, _ in verdicts}) > 1] == []
    assert sum(len(verdicts) > 1 for verdicts in said.values()) >= 50  # so many were written both ways


def test_hardly_any_frame_turns_a_verdict_round() -> None:
    found = evaluate_wordings(LENIENT, LABELS / "claim_frames.json", most=len(LENIENT.phrasings))
    for effect in ("keep", "reverse", "neither"):
        assert found[effect]["wrong"] <= WRONG, found
    assert found["keep"]["right"] >= 0.5, found


def test_hardly_any_sentence_gets_a_wrong_verdict() -> None:
    found = evaluate_wordings(LENIENT, LABELS / "claim_sentences.jsonl", most=1)
    assert found["all"]["wrong"] <= WRONG, found
    assert found["plain"]["right"] >= 0.05, found


def outcomes(source: ClaimSource, part: str) -> Counter[str]:
    """`right`, `missed` (no verdict where there is one), `wrong`, over the labelled messages of a part."""
    found = Counter[str]()
    for query in (q for q in QUERIES if q["part"] == part and q["verdict"] in ("supported", "contradicted")):
        said = verdict(source.retrieve(talk(query["message"])))
        found["right" if said == query["verdict"] else "missed" if said in ("", "not known") else "wrong"] += 1
    return found


@pytest.mark.parametrize(("part", "right"), [("tuning", 0.9), ("held out", 0.45)])
def test_verdicts_on_labelled_messages(home: Home, minilm: Encoder, part: str, right: float) -> None:
    found = outcomes(ClaimSource(SHIPPED, home, minilm), part)
    assert found["right"] / found.total() >= right, found
    assert found["wrong"] == 0, found
    assert not home.knowledge.exists()  # the shipped vectors are those of the shipped claims


def test_messages_on_no_claim_get_no_verdict(home: Home, minilm: Encoder) -> None:
    source = ClaimSource(SHIPPED, home, minilm)
    others = [q["message"] for q in QUERIES if not q["verdict"]]
    assert len(others) >= 60
    assert [m for m in others if verdict(source.retrieve(talk(m))) not in ("", "not known")] == []


def test_a_framed_claim_is_shown_the_evidence_on_it(home: Home, minilm: Encoder) -> None:
    source = ClaimSource(SHIPPED, home, minilm)
    frames = ["It is a lie that {}.", "My uncle no longer thinks that {}.", "If {}, I shall stay at home.", "Maybe {}."]
    asked = [(frames[i % len(frames)].format(p.said.text), p.claim) for i, p in enumerate(source.phrasings[::70])]
    found = [source.nearest(text) for text, _ in asked]
    right = sum(bool(match and match.claim == claim) for match, (_, claim) in zip(found, asked, strict=True))
    assert right >= 0.85 * len(asked)
