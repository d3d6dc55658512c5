"""Rank heads and the replies that style skills learn from, on labelled texts and dialogues of our own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from conftest import make_bot
from safetensors.torch import load_file, save_file

from adapterbot.data import corpora
from adapterbot.data.attributes import ATTRIBUTES, Bayes, balanced, labelled
from adapterbot.errors import DataError, SpecError, WeightsError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.manager.encoder import minilm
from adapterbot.network.backbone import Backbone
from adapterbot.reply.rerank import best_first
from adapterbot.reply.style_heads import HEADS, load_heads
from adapterbot.spec.folders import SkillFolders
from adapterbot.training.logistic import by_meaning
from adapterbot.training.style_heads import train_heads
from adapterbot.turn import Draft

FEELINGS = {
    "joy": "I am so happy about this wonderful party!",
    "sadness": "We cried all night because she is gone.",
    "anger": "How dare you, this makes me furious.",
    "fear": "I am terrified of the dark cellar.",
    "surprise": "Wow, I never expected that at all!",
    "neutral": "The bus leaves from the second stop.",
}
TOPICS = {
    "business": "The bank raised its profit and the shares rose.",
    "sports": "The team scored a late goal and won the match.",
    "sci/tech": "The new chip makes the computer faster.",
    "world": "The two ministers met in the capital.",
}
CHAT = ["What happened today?", "Tell me about it.", "And how was the evening then?"]


def write(folder: Path, name: str, lines: Sequence[Mapping[str, object]]) -> None:
    (folder / name).mkdir(parents=True)
    for part in ("train", "valid"):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / name / f"{part}.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpora")
    twenty = range(20)
    texts = [{"text": f"{text} {i}", "label": label} for label, text in FEELINGS.items() for i in twenty]
    write(root, "goemotions", [*texts, {"text": "both", "label": "joy,anger"}, {"text": "no", "label": "disapproval"}])
    write(root, "goemotions_ekman", [*texts, {"text": "both", "label": "joy,anger"}])
    write(root, "agnews", [{"text": f"{t} {i}", "label": x} for x, t in TOPICS.items() for i in twenty])
    sides = {"positive": "a lovely and moving film", "negative": "a dull and tedious mess"}
    write(root, "sst2", [{"text": f"{t} {i}", "label": x} for x, t in sides.items() for i in twenty])
    dialogues: list[dict[str, object]] = []
    for i, (label, text) in enumerate({**FEELINGS, **TOPICS}.items()):
        said = [
            (CHAT[i % 3], "no emotion/question"),
            (text, f"{label}/inform"),
            ("And why is that so?", "x/question"),
        ]
        turns = [{"speaker": ("user", "system")[j % 2], "text": t, "label": a} for j, (t, a) in enumerate(said)]
        dialogues.append({"id": f"d{i}", "turns": turns})
    write(root, "dailydialog", dialogues)
    match = [{"speaker": who, "text": f"{who}: what a game they played"} for who in ("user", "system")]
    write(root, "selfdialogue", [{"id": "s0", "domain": "baseball", "turns": match}])
    return root


def test_texts_with_one_label_are_taken(folder: Path) -> None:
    pairs = labelled("emotion", folder)
    assert {label for _, label in pairs} == set(ATTRIBUTES["emotion"])
    assert not [text for text, _ in pairs if text in ("both", "no")], "neither two emotions nor calm disapproval"
    assert {label for _, label in labelled("question", folder)} == {"question", "statement"}
    assert ("The new chip makes the computer faster.", "sci_tech") in labelled("topic", folder), "a word tells it"
    assert ("user: what a game they played", "sport") in labelled("topic", folder), "a turn has its dialogue's domain"
    with pytest.raises(DataError, match="no corpus 'agnews'"):
        labelled("topic", folder / "sst2")


def test_all_labels_are_alike(folder: Path) -> None:
    pairs = balanced(labelled("sentiment", folder), 30, "s")
    counts = {label: sum(x == label for _, x in pairs) for label in ATTRIBUTES["sentiment"]}
    assert counts == {"positive": 10, "negative": 10, "neutral": 10}
    assert balanced(labelled("sentiment", folder), 30, "s") == pairs


def test_naive_bayes_tells_labels_apart(folder: Path) -> None:
    bayes = Bayes(labelled("emotion", folder))
    for label, text in FEELINGS.items():
        assert bayes.margin(text, label) > 0
        assert all(bayes.margin(text, other) < 0 for other in FEELINGS if other != label)


def test_texts_with_the_same_known_words_are_equally_clear(folder: Path) -> None:
    bayes = Bayes(labelled("topic", folder))
    words = TOPICS["sports"].split()
    texts = [" ".join([*(f"unheard{i}" for i in range(n)), *words]) for n in range(30)]
    assert len({bayes.margin(text, "sport") for text in texts}) == 1, "whatever order their sets come in"


@pytest.mark.parametrize("style", ["joy", "anger", "sport", "sci_tech", "business", "question", "negative"])
def test_the_replies_of_a_style_are_found(folder: Path, style: str) -> None:
    splits = corpora.load("styles", folder, style)
    said = {"sport": "sports", "sci_tech": "sci/tech"}.get(style, style)
    best = splits["train"][0]
    assert best.domain == style
    assert best.turns[-1].speaker == "system"
    assert [t.speaker for t in best.turns[:-1]] in (["user"], ["system", "user"])
    if style == "question":
        assert all(d.turns[-1].text.endswith("?") for d in splits["train"])
    elif style == "negative":
        assert FEELINGS["joy"] not in {d.turns[-1].text for d in splits["train"]}
    else:
        assert best.turns[-1].text == {**FEELINGS, **TOPICS}[said]


def test_a_topic_that_is_turned_to_comes_before_one_that_is_kept(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpora"
    shutil.copytree(folder, root)
    said = [CHAT[0], TOPICS["sports"], f"Well, {TOPICS['sports'].lower()}", f"Yes, {TOPICS['sports'].lower()}"]
    turns = [{"speaker": ("user", "system")[i % 2], "text": text} for i, text in enumerate(said)]
    write(root, "dream", [{"id": "d", "turns": turns}])
    found = [d.turns[-1].text for d in corpora.load("styles", root, "sport")["train"] if d.id.startswith("dream")]
    assert found == [TOPICS["sports"]]


def test_a_classifier_that_knows_more_than_words_chooses_what_is_trained_on(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpora"
    shutil.copytree(folder, root)
    said = ["How are you?", "I am so happy here", "Where is she?", "I am so happy, a wonderful party!"]
    turns = [{"speaker": ("user", "system")[i % 2], "text": text} for i, text in enumerate(said)]
    write(root, "dream", [{"id": "d", "turns": turns}])
    asked: list[tuple[str, set[str]]] = []

    def shortest(pairs: Sequence[tuple[str, str]], label: str, texts: Sequence[str]) -> list[float]:
        asked.append((label, {x for _, x in pairs}))
        return [-float(len(text)) for text in texts]

    plain, rated = corpora.load("styles", root, "joy"), corpora.load("styles", root, "joy", shortest)
    assert asked == [("joy", set(ATTRIBUTES["emotion"]))]
    assert rated["valid"] == plain["valid"], "by words alone"
    lengths = [len(d.turns[-1].text) for d in rated["train"]]
    assert lengths == sorted(lengths)
    assert [len(d.turns[-1].text) for d in plain["train"]] != lengths


def test_sentence_vectors_tell_what_has_a_label(folder: Path) -> None:
    scores = by_meaning(labelled("emotion", folder), "fear", [f"{text} 3" for text in FEELINGS.values()])
    assert max(scores) == scores[list(FEELINGS).index("fear")]
    assert all(score < 0 for score in scores), "log-probabilities"


def test_an_unknown_style_or_no_dialogues(folder: Path) -> None:
    with pytest.raises(DataError, match="no style 'jolly'"):
        corpora.load("styles", folder, "jolly")
    with pytest.raises(DataError, match="has none of the corpora"):
        corpora.load("styles", folder / "sst2", "question")


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float], list[str]]:
    """A file of heads, how good they are, and what was told meanwhile."""
    out, told = tmp_path_factory.mktemp("heads"), list[str]()
    accuracy = train_heads(minilm(), folder, out, announce=told.append)
    return out / HEADS, accuracy, told


@pytest.fixture
def own(trained: tuple[Path, dict[str, float], list[str]], home: Home) -> Path:
    """The heads in the user's home."""
    home.manager.mkdir(parents=True)
    return Path(shutil.copy(trained[0], home.manager / HEADS))


def test_heads_learn_and_are_read_again(
    trained: tuple[Path, dict[str, float], list[str]], own: Path, home: Home
) -> None:
    _, accuracy, told = trained
    assert accuracy.keys() == ATTRIBUTES.keys()
    assert len(told) == len(ATTRIBUTES)
    assert accuracy["emotion"] > 0.8, "sixteen texts of each label are like the four held out"
    heads = load_heads(home)
    assert heads is not None
    texts = [f"{text} 7" for text in FEELINGS.values()]
    logs = heads.log_probs("emotion", texts)
    assert torch.allclose(logs.exp().sum(-1), torch.ones(len(texts)), atol=1e-5)
    joy = heads.style("emotion:joy")(texts)
    assert max(joy) == joy[list(FEELINGS).index("joy")]
    own.unlink()
    shipped = load_heads(home)
    assert shipped is not None, "the shipped ones are of no backbone"
    assert shipped.log_probs("question", ["Where do you live?"])[0].argmax() == 0


def test_a_style_skill_takes_the_draft_in_its_style(tiny: Backbone, own: Path, home: Home) -> None:
    source = SkillFolders(home).folder("joy")
    mine = home.skills / "cheer"
    mine.mkdir(parents=True)
    (mine / "skill.toml").write_bytes((source / "skill.toml").read_bytes())
    bot = make_bot(tiny, home)
    history = History().add_user("How are you?")
    situation = bot.responder.prepare(bot.specs["cheer"], history, ()).situation
    drafts = [Draft(FEELINGS["anger"], -0.5), Draft(FEELINGS["joy"], -1.5)]
    assert best_first(drafts, situation, bot.roster.weights)[0].text == FEELINGS["joy"]
    assert bot.responder.prepare(bot.specs["wiki"], history, ()).situation.style is None


def test_damaged_heads_are_told_and_nothing_else_suffers(tiny: Backbone, own: Path, home: Home) -> None:
    tensors = load_file(own)
    tensors["emotion"][0, 0] = float("nan")
    about = {"encoder": minilm().fingerprint, "labels": json.dumps(ATTRIBUTES)}
    save_file(tensors, own, about)
    with pytest.raises(WeightsError, match="NaN"):
        load_heads(home)
    bot = make_bot(tiny, home)
    assert any("NaN" in note for note in bot.roster.notes)
    assert bot.respond("Hello!", skill="persona", seed=1).text
    save_file({"emotion": tensors["emotion"]}, own, about)
    with pytest.raises(WeightsError, match="does not fit"):
        load_heads(home)
    for other in ({"labels": "{}"}, {"encoder": "that of a backbone"}):
        save_file(tensors, own, about | other)
        with pytest.raises(WeightsError, match="of another encoder or labels"):
            load_heads(home)
    own.write_bytes(own.read_bytes()[:40])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_heads(home)


def test_a_spec_names_a_label_that_there_is(home: Home) -> None:
    mine = home.skills / "mine"
    mine.mkdir(parents=True)
    (mine / "skill.toml").write_text('summary = "x"\ngroup = "style"\nrerank = "emotion:joyy"\n', encoding="utf-8")
    with pytest.raises(SpecError, match="emotion:joy"):
        SkillFolders(home).load("mine")
