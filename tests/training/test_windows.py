"""From dialogues to trees: every reply is learnt once, with no more history than a chat would give it."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest
from conftest import VOCABULARY
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.data.dialogue import Dialogue, DialogueTurn, read_dialogues
from adapterbot.errors import DataError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.language.sentences import recase
from adapterbot.network.tokenizer import IGNORE, Tokenizer
from adapterbot.network.tree import Tree
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import DataTable, KnowledgeTable, SkillSpec
from adapterbot.training.corpus import load_corpus
from adapterbot.training.windows import (
    encode_windows,
    recase_dialogue,
    replies,
    shared,
    training_trees,
    validation_trees,
)

TOKENIZER = Tokenizer.from_folder(VOCABULARY)


def read(tree: Tree) -> str:
    """The text of a tree without branches, but for the end of its reply."""
    return TOKENIZER.decode(tree.ids.tolist())


def spec(turns: int = 5, facts: str = "auto", limit: int = 5, when_empty: str = "", **data: object) -> SkillSpec:
    return SkillSpec(
        name="haiku",
        folder=Path("nowhere"),
        summary="x",
        group="style",
        turns=turns,
        data=DataTable.model_validate({"facts": facts, **data}),
        knowledge=KnowledgeTable(limit=limit, when_empty=when_empty),
    )


def dialogue(
    speakers: str, knowledge: dict[int, tuple[str, ...]] | None = None, context: tuple[str, ...] = ()
) -> Dialogue:
    """'us' is a user turn and a system reply; texts are numbered."""
    names = {"u": "user", "s": "system"}
    turns = (DialogueTurn(names[c], f"text {i}", (knowledge or {}).get(i, ())) for i, c in enumerate(speakers))
    return Dialogue("d", tuple(turns), context)


DIALOGUES = st.builds(
    dialogue,
    st.text("us", min_size=1, max_size=30),
    st.dictionaries(st.integers(0, 29), st.tuples(st.sampled_from(["fact a", "fact b"])), max_size=8),
)


@given(DIALOGUES, st.integers(1, 7))
def test_every_reply_is_learnt_exactly_once_with_its_own_facts(talk: Dialogue, turns: int) -> None:
    wanted = [(t.text, t.knowledge) for i, t in enumerate(talk.turns) if i and t.speaker == "system"]
    learnt = [(w.utterances[-1], w.facts) for part in shared(talk, spec(turns)) for w in part]
    assert learnt == wanted
    assert [(w.utterances[-1], w.facts) for w in replies(talk, spec(turns))] == wanted


@given(DIALOGUES, st.integers(1, 7))
def test_no_reply_sees_nothing_or_more_than_the_turns(talk: Dialogue, turns: int) -> None:
    texts = [t.text for t in talk.turns]
    together = list(shared(talk, spec(turns)))
    assert all(window.utterances[0] == part[0].utterances[0] for part in together for window in part)
    for window in (*replies(talk, spec(turns)), *chain.from_iterable(together)):
        assert 2 <= len(window.utterances) <= 2 * turns + turns % 2
        first = texts.index(window.utterances[0])
        assert list(window.utterances) == texts[first : first + len(window.utterances)], "nothing is left out"


def test_a_reply_is_scored_with_the_history_that_a_chat_gives_it() -> None:
    found = list(replies(dialogue("us" * 7), spec(turns=5)))
    assert [len(w.utterances) - 1 for w in found] == [1, 3, 5, 7, 9, 5, 7]
    assert found[-2].utterances == tuple(f"text {i}" for i in range(6, 12))
    for window in found:
        said = History()
        for i in range(int(window.utterances[-1].removeprefix("text "))):
            said = said.add_bot(f"text {i}") if i % 2 else said.add_user(f"text {i}")
        assert spec(turns=5).heard(said) == window.utterances[:-1]


def test_replies_share_their_beginning_as_long_as_a_chat_would_remember_it() -> None:
    parts = list(shared(dialogue("us" * 9), spec(turns=5)))
    assert [[w.utterances[-1] for w in part] for part in parts] == [
        ["text 1", "text 3", "text 5", "text 7", "text 9"],
        ["text 11", "text 13", "text 15"],
        ["text 17"],
    ]
    assert [part[0].utterances[0] for part in parts] == ["text 0", "text 6", "text 12"]


def test_which_facts_a_reply_gets() -> None:
    talk = dialogue("us", {1: ("k1", "k2")}, context=("c1", "c2", "c3"))
    bare = dialogue("us", context=("c1",))

    def facts(talk: Dialogue, **options: object) -> tuple[str, ...]:
        return next(replies(talk, spec(**options))).facts  # type: ignore[arg-type]

    assert facts(talk, facts="none") == ()
    assert facts(talk, facts="context") == ("c1", "c2", "c3")
    assert facts(talk, facts="knowledge") == ("k1", "k2")
    assert facts(talk, facts="auto") == ("k1", "k2")
    assert facts(bare, facts="auto") == ("c1",)
    assert facts(talk, facts="context", limit=2) == ("c1", "c2")
    assert facts(bare, facts="knowledge", when_empty="nothing known") == ("nothing known",)
    assert facts(bare, facts="knowledge") == ()


def test_rows_have_labels_on_the_replies_alone() -> None:
    for row, text in zip(
        encode_windows(replies(dialogue("usus"), spec()), TOKENIZER, 512), ("text 1", "text 3"), strict=True
    ):
        learnt = [label for label in row.labels if label != IGNORE]
        assert learnt == [*TOKENIZER.encode(text), TOKENIZER.separator]


def test_a_reply_that_does_not_fit_is_left_out() -> None:
    talk = Dialogue("d", (DialogueTurn("user", "Hi!"), DialogueTurn("system", "word " * 200)))
    assert encode_windows(replies(talk, spec()), TOKENIZER, 128) == []
    with pytest.raises(DataError, match="no reply fits into the backbone's 128 positions"):
        training_trees(corpus_of([talk], [talk]), spec(), TOKENIZER, 128, seed=0)


def corpus_of(train: list[Dialogue], valid: list[Dialogue]):  # type: ignore[no-untyped-def]
    from adapterbot.training.corpus import Corpus

    return Corpus(train, valid, "here")


def test_validation_trees_are_spread_evenly_over_the_dialogues() -> None:
    talks = [Dialogue(str(i), (DialogueTurn("user", "a"), DialogueTurn("system", f"reply {i}"))) for i in range(100)]
    trees = validation_trees(talks, spec(), TOKENIZER, 128, most=10)
    assert len(trees) == 10
    assert "reply 90" in read(trees[-1])
    assert len(validation_trees(talks, spec(), TOKENIZER, 128, most=1000)) == 100


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hi. how are you? i am fine! i'm ok", "Hi. How are you? I am fine! I'm ok"),
        ("in it, ii and hi", "In it, ii and hi"),
        ("Already. Fine.", "Already. Fine."),
        ("", ""),
        ("3 cats", "3 cats"),
    ],
)
def test_recase(text: str, wanted: str) -> None:
    assert recase(text) == wanted


def test_the_share_of_recased_dialogues_is_by_hash() -> None:
    talk = Dialogue("d", (DialogueTurn("user", "hi."), DialogueTurn("system", "i am ok.", ("a fact.",))), ("my cat.",))
    assert recase_dialogue(talk).turns[1] == DialogueTurn("system", "I am ok.", ("A fact.",))
    assert recase_dialogue(talk).context == ("My cat.",)
    many = [Dialogue(str(i), talk.turns) for i in range(200)]
    wanted = spec(facts="none", recase=0.5)
    texts, again = (
        [read(tree) for tree in training_trees(corpus_of(many, many), wanted, TOKENIZER, 128, seed=0)] for _ in "ab"
    )
    assert 0.35 < sum("I am ok." in text for text in texts) / len(texts) < 0.65
    assert texts == again


# -- finding the corpus ----------------------------------------------------------------------------------------------


@pytest.fixture
def haiku(home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A skill of the user's own, without data."""
    monkeypatch.delenv("ADAPTERBOT_CORPORA", raising=False)
    folder = home.skills / "haiku"
    folder.mkdir(parents=True)
    (folder / "skill.toml").write_text('summary = "x"\ngroup = "style"\n')
    return folder


def talk_file(path: Path, texts: list[str], prefix: str = "d", domain: str = "") -> Path:
    lines = []
    for i, text in enumerate(texts):
        turns = [{"speaker": "user", "text": text}, {"speaker": "system", "text": f"{text}!"}]
        lines.append({"id": f"{prefix}{i}", "domain": domain, "turns": turns})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


TEXTS = [f"message {i}" for i in range(20)]


def test_without_anything_to_learn_from_it_says_what_to_give(home: Home, haiku: Path) -> None:
    with pytest.raises(DataError, match="has nothing to train on: give --data FILE") as caught:
        load_corpus(SkillFolders(home).load("haiku"))
    assert str(haiku / "skill.toml") in str(caught.value)


def test_a_given_file_or_folder_comes_first_then_the_specs_path_then_our_samples(
    home: Home, haiku: Path, tmp_path: Path
) -> None:
    given = load_corpus(SkillFolders(home).load("haiku"), str(talk_file(tmp_path / "talk.jsonl", TEXTS)))
    assert len(given.train) + len(given.valid) == 20
    assert "talk.jsonl" in given.origin
    folder = talk_file(tmp_path / "split" / "train.jsonl", TEXTS).parent
    assert len(load_corpus(SkillFolders(home).load("haiku"), str(folder)).train) >= 10
    talk_file(haiku / "own.jsonl", TEXTS[:9])
    (haiku / "skill.toml").write_text('summary = "x"\ngroup = "style"\ndata = { path = "own.jsonl" }')
    assert load_corpus(SkillFolders(home).load("haiku")).origin == "own.jsonl"
    samples = load_corpus(SkillFolders(home).load("empathetic"))
    assert "sample dialogues" in samples.origin
    with pytest.raises(DataError, match=r"gone\.jsonl does not exist"):
        load_corpus(SkillFolders(home).load("empathetic"), str(tmp_path / "gone.jsonl"))


def test_a_folder_of_corpora_is_searched_by_the_specs_corpus(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk_file(tmp_path / "kvret" / "train.jsonl", TEXTS[:10], "w", "weather")
    talk_file(tmp_path / "kvret" / "valid.jsonl", ["other 1", "other 2"], "v", "weather")
    weather = SkillFolders(home).load("weather")
    assert load_corpus(weather, str(tmp_path)).origin.startswith("corpus in_car")
    monkeypatch.setenv("ADAPTERBOT_CORPORA", str(tmp_path))
    assert len(load_corpus(weather).valid) == 2
    talk_file(tmp_path / "kvret" / "valid.jsonl", ["other"], "v", "navigate")
    with pytest.raises(DataError, match="no dialogue with a system reply to learn from in domain 'weather'"):
        load_corpus(weather)
    with pytest.raises(DataError, match="no corpus 'empathetic_dialogues'"):
        load_corpus(SkillFolders(home).load("empathetic"))


def test_duplicates_of_validation_dialogues_are_left_out_and_said(home: Home, haiku: Path, tmp_path: Path) -> None:
    talk_file(tmp_path / "train.jsonl", TEXTS)
    talk_file(tmp_path / "valid.jsonl", [*TEXTS[:3], "new"], "v")
    found = load_corpus(SkillFolders(home).load("haiku"), str(tmp_path))
    assert len(found.train) == 17
    assert found.origin.endswith("(3 duplicates of validation dialogues left out)")
    talk_file(tmp_path / "train.jsonl", TEXTS[:3])
    with pytest.raises(DataError, match="every training dialogue also stands in the validation part"):
        load_corpus(SkillFolders(home).load("haiku"), str(tmp_path))


def test_a_skills_own_examples_are_repeated_to_a_share_but_never_validated_on(
    home: Home, haiku: Path, tmp_path: Path
) -> None:
    data = talk_file(tmp_path / "talk.jsonl", [f"text {i}" for i in range(200)])
    talk_file(haiku / "examples.jsonl", ["own 1", "own 2"], "own")
    spec = SkillFolders(home).load("haiku")
    found = load_corpus(spec, str(data))
    own = [d for d in found.train if d.id.startswith("own")]
    assert 0.1 < len(own) / len(found.train) < 0.25
    assert "and 2 examples of the skill's own" in found.origin
    (haiku / "skill.toml").write_text('summary = "x"\ngroup = "style"\ndata = { examples = 2.0 }')
    many = load_corpus(SkillFolders(home).load("haiku"), str(data)).train
    assert sum(d.id.startswith("own") for d in many) == pytest.approx(2 * (len(found.train) - len(own)), abs=2)
    (haiku / "skill.toml").write_text('summary = "x"\ngroup = "style"\ndata = { path = "examples.jsonl" }')
    talk_file(haiku / "examples.jsonl", TEXTS)
    found = load_corpus(SkillFolders(home).load("haiku"))
    assert not {d.turns for d in found.train} & {d.turns for d in found.valid}


def test_the_digest_tells_one_corpus_from_another(tmp_path: Path) -> None:
    made = list(read_dialogues(talk_file(tmp_path / "a.jsonl", TEXTS)))
    assert corpus_of(made, made).digest == corpus_of(made, made).digest
    assert corpus_of(made[1:], made).digest != corpus_of(made, made).digest
    odd = Dialogue("d", (DialogueTurn("user", "\ud800"),))
    assert corpus_of([odd], []).digest
