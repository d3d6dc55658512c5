"""What ships: adapters that fit the default backbone, and beat it on dialogues that they did not learn from."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TRAINED, used_before

from adapterbot.bot import Bot
from adapterbot.facts import Verdict
from adapterbot.home import Home
from adapterbot.language.values import unsupported
from adapterbot.network.likelihood import perplexity_of, total_tree_nats
from adapterbot.reply.grounding import VERDICTS
from adapterbot.spec.folders import PACKAGE_SKILLS
from adapterbot.spec.tables import FALLBACK
from adapterbot.training.corpus import load_corpus
from adapterbot.training.windows import validation_trees


@pytest.fixture(scope="module")
def shipped(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Bot:
    home = used_before(Home(tmp_path_factory.mktemp("home")), prepared)
    return Bot.load(home=home.root, log=False)


SKILLS = sorted(path.parent.name for path in PACKAGE_SKILLS.glob("*/skill.toml"))
STRICT = ("attraction", "calendar", "covid_claims", "hotel", "navigation", "restaurant", "taxi", "train", "weather")


def test_every_shipped_skill_can_answer(shipped: Bot) -> None:
    assert len(SKILLS) == 26
    assert shipped.skills == SKILLS
    assert len(shipped.routable) == 15
    assert not shipped.roster.problems
    assert not shipped.roster.notes  # no adapter without effect


def test_an_adapter_is_small(shipped: Bot) -> None:
    for name in SKILLS:
        assert 0 < shipped.bank.parameters(name) < 0.08 * shipped.backbone.parameter_count, name


@pytest.mark.parametrize("name", SKILLS)
def test_a_forced_skill_answers_in_words(shipped: Bot, name: str) -> None:
    reply = shipped.respond("What will you do tomorrow?", skill=name, seed=1)
    assert reply.text.strip()
    assert reply.skill == name
    assert reply.routed_by == "forced"


@pytest.mark.parametrize("name", STRICT)
def test_a_strict_skill_says_nothing_that_its_facts_do_not_hold(shipped: Bot, name: str) -> None:
    assert shipped.specs[name].strict
    for i, message in enumerate(shipped.specs[name].routing.examples[:6]):
        reply = shipped.respond(message, skill=name, seed=i, drafts=4)
        assert unsupported(reply.text, [fact.line for fact in reply.facts], [message]) == [], reply.text


def test_sources_find_facts(shipped: Bot) -> None:
    asked = {
        "restaurant": "I want cheap Italian food.",
        "graph": "Who directed Jaws?",
        "covid_qa": "What are the symptoms of COVID-19?",
        "covid_claims": "5G towers spread the coronavirus.",
        "navigation": "Where is the nearest gas station?",
        "wiki": "Tell me something about jazz.",
    }
    for name, message in asked.items():
        reply = shipped.respond(message, skill=name, seed=1, drafts=2)
        assert reply.facts, name
        assert reply.facts[0].line != shipped.specs[name].knowledge.when_empty, name


@pytest.mark.parametrize(
    ("message", "label"),
    [
        ("Covid vaccines do not cause cancer.", "supported"),
        ("Is it true that hand dryers kill the coronavirus?", "contradicted"),
        ("They lied when they said that masks lower the oxygen in your blood.", "not known"),
    ],
)
def test_a_verdict_comes_with_its_whole_evidence(shipped: Bot, message: str, label: str) -> None:
    reply = shipped.respond(message, skill="covid_claims")
    (fact,) = reply.facts
    assert isinstance(fact, Verdict)
    assert fact.label == label
    assert fact.evidence
    assert reply.text == f"{VERDICTS[fact.label]} {fact.evidence}"


@pytest.mark.corpora
@pytest.mark.parametrize("name", TRAINED)
def test_adapters_beat_the_bare_backbone_on_validation_replies(shipped: Bot, corpora: Path, name: str) -> None:
    spec, backbone = shipped.specs[name], shipped.backbone
    dialogues = load_corpus(spec, str(corpora)).valid
    trees = validation_trees(dialogues, spec, backbone.tokenizer, backbone.positions, 20)
    adapted, bare = (total_tree_nats(backbone, shipped.bank.select([who]), trees) for who in (name, None))
    assert perplexity_of(*adapted) < 0.85 * perplexity_of(*bare)


@pytest.mark.parametrize(
    ("message", "skills"),
    [
        ("My best friend moved away and I feel so alone.", {"empathetic"}),
        ("What will the weather be like in Boston tomorrow?", {"weather"}),
        ("Tell me something about jazz.", {"wiki"}),
        ("hi there", {"chitchat", "persona"}),
    ],
)
def test_a_new_users_first_messages(shipped: Bot, message: str, skills: set[str]) -> None:
    reply = shipped.respond(message, seed=1)
    assert reply.skill in skills
    assert set(reply.scores) == set(shipped.routable)
    assert reply.text.strip()
    if reply.skill == "wiki":
        assert [fact.heading for fact in reply.facts] == ["Jazz"]
    if reply.skill == "weather":  # no forecast source: the reply says so and invents no number
        assert not any(character.isdigit() for character in reply.text)


def test_a_damaged_manager_keeps_no_forced_skill_from_answering(ready: Home) -> None:
    ready.manager.mkdir(parents=True)
    (ready.manager / "classifier.safetensors").write_bytes(b"damaged")
    bot = Bot.load(home=ready.root, log=False)
    reply = bot.respond("hello", seed=1)
    assert reply.skill == FALLBACK
    assert any("the manager cannot choose" in warning and "classifier" in warning for warning in reply.warnings)
    for skill in ("empathetic", "wiki"):
        assert bot.respond("Tell me something about jazz.", skill=skill, seed=1, drafts=3).skill == skill
