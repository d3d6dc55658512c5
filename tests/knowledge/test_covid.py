"""The skills covid_qa and covid_claims: their passages, examples and claims, and what is found for questions."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapterbot.bot import Bot
from adapterbot.data.corpora import load, reader
from adapterbot.data.dialogue import Dialogue, in_validation, read_dialogues
from adapterbot.errors import DataError
from adapterbot.evaluation import claims as verdicts
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge.claims.phrasings import KINDS, read_claims
from adapterbot.knowledge.passages.cutting import opening
from adapterbot.knowledge.passages.index import read_passages
from adapterbot.knowledge.passages.source import PassageSource
from adapterbot.language.values import unsupported
from adapterbot.manager.encoder import load_encoder
from adapterbot.spec.folders import PACKAGE_SKILLS, SkillFolders
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.corpus import load_corpus

QA, CLAIMS = PACKAGE_SKILLS / "covid_qa", PACKAGE_SKILLS / "covid_claims"
HELD_OUT = 0.25  # of the claims have no training example
# Questions that stand in no example, with the title of the passage that answers them.
QUESTIONS = [
    ("Which symptoms does a covid infection cause?", "Symptoms"),
    ("how many days after infection do symptoms appear", "Incubation period"),
    ("For how many days can somebody with corona infect others?", "Contagious period"),
    ("how do people catch the coronavirus", "How COVID-19 spreads"),
    ("what does long covid mean", "Long COVID"),
    ("What do the covid vaccines do?", "Vaccines"),
    ("How does an mRNA vaccine work?", "mRNA vaccines"),
    ("Tell me about the PCR test.", "PCR test"),
    ("How reliable are rapid antigen tests?", "Rapid antigen test"),
    ("When is Paxlovid given?", "Paxlovid"),
    ("Why is dexamethasone used?", "Dexamethasone"),
    ("Does ivermectin help?", "Ivermectin"),
    ("Do face masks lower the spread?", "Masks"),
    ("How should I wash my hands?", "Hand washing"),
    ("What is the spike protein for?", "Spike protein"),
    ("which receptor does the virus bind to, ACE2?", "ACE2 receptor"),
    ("Tell me about the SARS outbreak in 2003.", "SARS"),
    ("what is mers", "MERS"),
    ("When was COVID-19 declared a pandemic?", "Pandemic declaration"),
    ("When did the WHO end the emergency?", "End of the emergency"),
    ("How many covid deaths have been reported?", "Number of deaths"),
    ("When was the omicron variant found?", "Omicron variant"),
    ("What can you tell me about the Delta variant?", "Delta variant"),
    ("I'm pregnant. Is covid dangerous for me?", "Pregnancy"),
    ("Do children get seriously ill with covid?", "Children"),
    ("Are people with diabetes more at risk?", "Diabetes"),
    ("was herd immunity ever reached", "Herd immunity"),
    ("What is quarantine?", "Quarantine"),
    ("how many people lived under lockdown", "Lockdown"),
    ("What does the reproduction number say?", "Reproduction number"),
    ("Explain cytokine storm.", "Cytokine storm"),
    ("can covid give you blood clots", "Blood clots"),
    ("I can't smell anything since I had covid.", "Loss of smell and taste"),
    ("Can my dog catch coronavirus?", "Pets"),
    ("How long does the virus stay on surfaces?", "Surfaces"),
    ("How common is myocarditis after vaccination?", "Myocarditis after vaccination"),
    ("Do I need a booster?", "Boosters"),
    ("what do antibodies do", "Antibodies"),
    ("What is a bacteriophage?", "Bacteriophage"),
    ("how many people did the spanish flu kill", "Spanish flu"),
]
ELSEWHERE = [
    "I love this song so much.",
    "What's the weather in Paris tomorrow?",
    "Book a table at an Italian restaurant.",
    "who won the world cup in 1998",
    "My girlfriend broke up with me yesterday.",
    "How do I bake sourdough bread?",
    "what is the capital of mongolia",
    "Do you have any brothers or sisters?",
    "When does the next train to Leeds leave?",
    "Tell me a joke about lawyers.",
    "The guitar solo in that track is amazing.",
    "How tall is Mount Everest?",
]


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> PassageSource:
    home = Home(tmp_path_factory.mktemp("home"))
    return PassageSource(QA / "passages.jsonl", home, load_encoder("minilm"))


def spec(name: str) -> SkillSpec:
    return SkillFolders().load(name)


def answers(dialogue: Dialogue) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    """Facts, text and what was said before, of each reply."""
    said: list[str] = []
    for turn in dialogue.turns:
        if turn.speaker == "system":
            yield turn.knowledge, turn.text, said[:]
        said.append(turn.text)


# -- covid_qa ---------------------------------------------------------------------------------------------------------


def test_the_right_passage_is_found_for_most_questions(passages: PassageSource) -> None:
    found = {q: [fact.heading for fact in passages.retrieve(History().add_user(q))] for q, _ in QUESTIONS}
    missed = [(question, found[question]) for question, title in QUESTIONS if found[question] != [title]]
    assert len(missed) <= len(QUESTIONS) // 10, missed


@pytest.mark.parametrize("message", ELSEWHERE)
def test_nothing_is_found_for_other_topics(passages: PassageSource, message: str) -> None:
    assert passages.retrieve(History().add_user(message)) == []


def test_passages_are_short_and_their_titles_distinct() -> None:
    found = list(read_passages(QA / "passages.jsonl"))
    assert len(found) >= 180
    assert len({p.title for p in found}) == len({p.text for p in found}) == len(found)
    assert [p.title for p in found if opening(p.text) != p.text] == []


def test_qa_examples_rest_on_passages_or_say_that_nothing_was_found() -> None:
    texts = {opening(p.text) for p in read_passages(QA / "passages.jsonl")}
    empty, examples = spec("covid_qa").knowledge.when_empty, list(read_dialogues(QA / "examples.jsonl"))
    used = [facts for d in examples for facts, _, _ in answers(d)]
    assert all(len(facts) == 1 and facts[0] in texts | {empty} for facts in used)
    assert sum(facts == (empty,) for facts in used) >= 15
    asked = {d.turns[0].text for d in examples}
    assert asked.isdisjoint(question for question, _ in QUESTIONS)


def test_qa_replies_hold_no_number_that_their_passage_lacks() -> None:
    for dialogue in read_dialogues(QA / "examples.jsonl"):
        for facts, text, said in answers(dialogue):
            known = set(re.findall(r"\d+", " ".join([*facts, *said])))
            assert set(re.findall(r"\d+", text)) <= known, text


def test_the_corpus_has_a_reader(tmp_path: Path) -> None:
    module = reader("covid_qa")
    assert module is not None
    assert (module.FOLDER, module.HUB, module.LICENCE) == ("covidqa", None, "Apache 2.0 (repository)")
    folder = tmp_path / "covidqa"
    folder.mkdir()
    for part in ("train", "valid"):
        turns = [{"speaker": "user", "text": "What is it?"}, {"speaker": "system", "text": part, "knowledge": ["A p."]}]
        with gzip.open(folder / f"{part}.jsonl.gz", "wt") as file:
            file.write(json.dumps({"id": part, "turns": turns}) + "\n")
    assert {part: d[0].turns[1].text for part, d in load("covid_qa", tmp_path).items()} == {
        "train": "train",
        "valid": "valid",
    }


# -- covid_claims -----------------------------------------------------------------------------------------------------


def test_every_claim_has_both_sides_and_no_phrasing_stands_twice() -> None:
    phrasings = list(read_claims(CLAIMS / "claims.jsonl"))
    sides: dict[str, set[str]] = {}
    for p in phrasings:
        sides.setdefault(p.claim.title, set()).add(p.label)
    assert len(sides) >= 200
    assert [title for title, has in sides.items() if not {"supported", "contradicted"} <= has] == []
    assert len({(p.said.words, p.said.denied) for p in phrasings}) == len(phrasings)


def test_replies_give_exactly_the_verdict_of_their_facts() -> None:
    for dialogue in read_dialogues(CLAIMS / "examples.jsonl"):
        for facts, text, said in answers(dialogue):
            given = facts[0].removeprefix("verdict: ")
            assert [verdict for verdict in KINDS.values() if verdict in text.lower()] == [given], text
            assert unsupported(text, facts, said) == []


def test_a_quarter_of_the_claims_is_held_out_of_the_examples() -> None:
    evidence = {p.claim.title: p.claim.text for p in read_claims(CLAIMS / "claims.jsonl")}
    held = {text for title, text in evidence.items() if in_validation(title, HELD_OUT)}
    used = {facts[1] for d in read_dialogues(CLAIMS / "examples.jsonl") for facts, _, _ in answers(d) if len(facts) > 1}
    assert len(held) >= 50
    assert used == set(evidence.values()) - held


def test_no_evidence_is_in_training_and_validation() -> None:
    corpus = load_corpus(spec("covid_claims"))
    train, valid = (
        {fact for d in part for facts, _, _ in answers(d) for fact in facts[1:]}
        for part in (corpus.train, corpus.valid)
    )
    assert valid
    assert train.isdisjoint(valid)


# -- verdicts beside the original's method ----------------------------------------------------------------------------


def test_figures_of_verdicts_and_perplexity() -> None:
    labels, said = ["fake", "real", "real", "fake"], ["contradicted", "contradicted", "", ""]
    found = verdicts.figures(labels, said, [9.0, 1.0, 2.0, 1.5])
    assert (found["texts"], found["coverage"], found["precision"], found["majority"]) == (4, 0.5, 0.5, 0.5)
    assert (found["auc_perplexity"], found["accuracy_perplexity_best_threshold"]) == (0.75, 0.75)
    assert found["accuracy_perplexity_same_texts"] == 1.0


def test_claims_are_judged_on_labelled_texts(shared_bot: Bot, tmp_path: Path) -> None:
    lines = [
        ("Ivermectin cures covid", "fake"),
        ("Masks work", "real"),
        ("Do masks work?", "real"),
        ("Hi there", "fake"),
    ]
    (tmp_path / "coaid").mkdir()
    path = tmp_path / "coaid" / "valid.jsonl"
    path.write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in lines), encoding="utf-8")
    found = verdicts.judge_claims(shared_bot, tmp_path)
    assert found.keys() == {"coaid"}
    assert (found["coaid"]["texts"], found["coaid"]["precision"]) == (3, 1.0)
    assert found["coaid"]["coverage"] == pytest.approx(2 / 3)
    path.write_text('{"text": "a", "label": "maybe"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"valid.jsonl:1: .*real"):
        verdicts.judge_claims(shared_bot, tmp_path)


def test_no_corpus_to_judge_claims_on_is_told(shared_bot: Bot, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of coaid"):
        verdicts.judge_claims(shared_bot, tmp_path)
