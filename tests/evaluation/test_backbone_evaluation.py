"""A backbone is judged by what it really says: figures against hand computation, replies against those of a chat."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import VOCABULARY, make_tiny, random_adapter

from adapterbot.bot import Bot
from adapterbot.cli.evaluate import evaluate_all
from adapterbot.errors import DataError
from adapterbot.evaluation import backbone as judgement
from adapterbot.evaluation.backbone import evaluate_backbone, holds_name, read_validation, repetition_rate
from adapterbot.evaluation.backbone_page import write_page
from adapterbot.home import DATA, Home
from adapterbot.network.backbone import Backbone
from adapterbot.network.tokenizer import Tokenizer
from adapterbot.reply.prompt import encode
from adapterbot.training.recipe import MixtureTable
from adapterbot.turn import Decode

FACT = "Pim wrote it."
PROMPTS: list[dict[str, Any]] = [
    {"prompt": "Hello!"},
    {"prompt": "why not", "history": ["do you like cats", "Not really."]},
    {"prompt": "Any plans?", "history": ["Hi!", "Hello.", "I am Pim."]},
]


def items(name: str) -> list[dict[str, Any]]:
    """What ships in data/judgement."""
    found: list[dict[str, Any]] = json.loads((DATA / "judgement" / name).read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose skills give short replies, and few drafts of each."""
    home = Home(tmp_path_factory.mktemp("quick"))
    for name in ("chitchat", "wiki", "weather"):
        (home.skills / name).mkdir(parents=True)
        adapter = "false" if name == "chitchat" else "{ bottleneck = 8 }"
        (home.skills / name / "skill.toml").write_text(
            f'summary = "Short."\ngroup = "conversation"\nadapter = {adapter}\n'
            "decode = { drafts = 2, max_tokens = 12 }\n"
        )
    return home


@pytest.fixture(scope="module")
def bare(tiny: Backbone, quick: Home) -> Bot:
    """A bot of which no skill has an adapter."""
    return Bot(tiny, quick, log=False)


@pytest.fixture(scope="module")
def trained(tiny: Backbone, quick: Home, bare: Bot) -> Bot:
    """A bot with an adapter for wiki and for weather."""
    for seed, name in enumerate(("wiki", "weather")):
        random_adapter(tiny, quick.skills / name / "adapter.safetensors", seed)
    return Bot(tiny, quick, log=False)


def asked(monkeypatch: pytest.MonkeyPatch, folder: Path, cases: list[dict[str, Any]]) -> None:
    """Few questions in place of those that ship: a tiny model is as slow to sample from as a real one."""
    folder.mkdir(exist_ok=True)
    (folder / "prompts.json").write_text(json.dumps(PROMPTS))
    (folder / "copying.json").write_text(json.dumps(cases))
    monkeypatch.setattr(judgement, "FOLDER", folder)


def case(*expected: str, skill: str = "wiki") -> dict[str, Any]:
    return {"skill": skill, "message": "Who wrote it?", "facts": [FACT], "expected": list(expected)}


def corpus(folder: Path, name: str, valid: list[str], train: str = "I stand in the training part.") -> None:
    """A corpus of one-exchange dialogues; each text is a question, its answer is "Yes."."""
    (folder / name).mkdir(parents=True)
    for part, texts in (("train", [train]), ("valid", valid)):
        turns = [[{"speaker": "user", "text": t}, {"speaker": "system", "text": "Yes."}] for t in texts]
        lines = [json.dumps({"id": f"{part}-{i}", "turns": t}) for i, t in enumerate(turns)]
        (folder / name / f"{part}.jsonl").write_text("\n".join(lines))


# -- what is asked ---------------------------------------------------------------------------------------------------


def test_the_copy_test_can_only_be_passed_by_looking_into_the_facts() -> None:
    cases = items("copying.json")
    assert [c["skill"] for c in cases] == ["wiki"] * 60 + ["weather"] * 60
    for c in cases:
        for name in c["expected"]:
            assert holds_name(" ".join(c["facts"]), [name]), name
            assert not holds_name(c["message"], [name]), name
    names = [name.lower() for c in cases for name in c["expected"]]
    assert len(names) == len(set(names)), "a name that stands in two cases could be right by accident"
    assert len({c["message"] for c in cases if c["skill"] == "wiki"}) == 60


def test_the_facts_of_the_copy_test_fit_into_the_shipped_context() -> None:
    tokenizer = Tokenizer.from_folder(VOCABULARY)
    for c in items("copying.json"):
        prompt = encode(tokenizer, c["facts"], [c["message"]], positions=512, reserve=Decode().max_tokens)
        assert prompt.dropped == (), c["message"]


def test_of_several_rows_the_question_is_about_one() -> None:
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    rows = [c for c in items("copying.json") if c["skill"] == "weather" and len(c["facts"]) > 1]
    assert len(rows) == 20
    for c in rows:
        tables = [dict(re.findall(r"(\w+): ([^,]+)", fact)) for fact in c["facts"]]
        today = days.index(tables[0]["today"])
        named = [day for day in days if day in c["message"].lower()]
        day = named[0] if named else days[(today + ("tomorrow" in c["message"])) % 7]
        right = [table for table in tables if holds_name(table["location"], c["expected"])]
        assert len(right) == 1
        others = {table[day] for table in tables if table is not right[0]}
        assert right[0][day] not in others, c["message"]


def test_forty_prompts_some_in_the_middle_of_a_talk() -> None:
    prompts = items("prompts.json")
    assert len(prompts) == len({p["prompt"] for p in prompts}) == 40
    histories = [p["history"] for p in prompts if "history" in p]
    assert len(histories) >= 5
    assert all(2 <= len(history) <= 4 for history in histories)


# -- the figures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "names", "wanted"),
    [
        ("It was Tamsin Orrelvo.", ["Orrelvo"], True),
        ("orrelvo's best book", ["Orrelvo"], True),
        ("I like TAMSIN", ["Orrelvo", "Tamsin"], True),
        ("The Ter Hoeven Bridge!", ["ter hoeven"], True),
        ("Orrelvos are birds", ["Orrelvo"], False),
        ("preorrelvo", ["Orrelvo"], False),
        ("I don't know.", ["Orrelvo"], False),
        ("", ["Orrelvo"], False),
        ("c++ is nice", ["C+"], True),
    ],
)
def test_a_name_is_held_as_whole_words_in_any_case(reply: str, names: list[str], wanted: bool) -> None:
    assert holds_name(reply, names) is wanted


def test_a_reply_repeats_itself_when_three_words_stand_twice() -> None:
    assert repetition_rate(["I like it, and I like it."]) == 1.0
    assert repetition_rate(["no no no no"]) == 1.0
    assert repetition_rate(["no no no"]) == 0.0
    assert repetition_rate(["I like cats. I like dogs."]) == 0.0
    assert repetition_rate(["a b c d e", "so it is so it is", "", "one"]) == 0.25
    assert repetition_rate([]) == 0.0


@pytest.fixture(scope="module")
def uniform() -> Backbone:
    """A backbone that holds every token for equally likely, always."""
    backbone = make_tiny()
    with torch.no_grad():
        for parameter in backbone.decoder.parameters():
            parameter.zero_()
    return backbone


def test_a_uniform_model_needs_log2_of_the_vocabulary_per_token(
    uniform: Backbone, quick: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(monkeypatch, tmp_path / "asked", [case("Pim")])
    questions = ["Is it late?", "zqxj kvwpf?", "Do you like the sea?", "Ünïcödé?"]
    corpus(tmp_path / "talk", "one", questions)
    corpus(tmp_path / "talk", "two", ["Are you there?"])
    corpus(tmp_path / "talk", "snips", ["Play a song."])
    tokenizer = uniform.tokenizer

    def expected(chosen: list[str]) -> float:
        bits = size = 0.0
        for question in chosen:
            first, *rest = tokenizer.encode(question)
            bits += math.log2(tokenizer.size) * (len(rest) + 1 + len(tokenizer.encode("Yes.")) + 1)
            size += len(question.encode()) - len(tokenizer.decode([first]).encode()) + 1 + len("Yes.") + 1
        return bits / size

    bot = Bot(uniform, quick, log=False)
    report = evaluate_backbone(bot, tmp_path / "talk", most=2)
    assert list(report["bits_per_byte"]) == ["one", "two"], "the recipe leaves out snips"
    assert report["bits_per_byte"]["one"] == pytest.approx(expected([questions[0], questions[2]]), rel=1e-4)
    assert report["bits_per_byte"]["two"] == pytest.approx(expected(["Are you there?"]), rel=1e-4)
    assert report["bits_per_byte_mean"] == pytest.approx(sum(report["bits_per_byte"].values()) / 2)
    everything = evaluate_backbone(bot, tmp_path / "talk", mixture=MixtureTable(leave_out=("two",)))["bits_per_byte"]
    assert list(everything) == ["one", "snips"]
    assert everything["one"] == pytest.approx(expected(questions), rel=1e-4)


def test_the_replies_are_those_of_a_chat_with_the_bare_backbone(
    trained: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(monkeypatch, tmp_path, [case("Pim")])
    report = evaluate_backbone(trained, None, seed=5)
    assert "bits_per_byte" not in report
    assert [p["prompt"] for p in report["prompts"]] == [p["prompt"] for p in PROMPTS]
    for i, prompt in enumerate(PROMPTS):
        talk = {"message": prompt["prompt"], "history": prompt.get("history"), "skill": "chitchat"}
        assert report["prompts"][i]["sampled"] == trained.respond(**talk, seed=5 + i).text
        assert report["prompts"][i]["greedy"] == trained.respond(**talk, temperature=0, drafts=1, seed=0).text
    greedy = [p["greedy"] for p in report["prompts"]]
    assert report["mean_length"]["greedy"] == pytest.approx(sum(len(g.split()) for g in greedy) / 3)
    assert report["repetition_rate"]["greedy"] == repetition_rate(greedy)
    assert 0 < report["distinct_1"]["sampled"] <= report["distinct_2"]["sampled"] <= 1
    assert report == evaluate_backbone(trained, None, seed=5)


def test_copying_is_measured_with_the_adapter_and_without(
    trained: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiki = trained.respond("Who wrote it?", facts=[FACT], skill="wiki", seed=7).text
    alone = trained.respond("Who wrote it?", facts=[FACT], skill="chitchat", seed=8).text
    said = next(w for w in re.findall(r"[A-Za-z]{3,}", wiki) if holds_name(wiki, [w]) and not holds_name(alone, [w]))
    told: list[tuple[int, int]] = []
    asked(monkeypatch, tmp_path, [case(said.upper()), case("Nobodysaysthis"), case(said[:-1], skill="weather")])
    report = evaluate_backbone(trained, None, seed=7, advance=lambda done, total: told.append((done, total)))
    assert report["copying"] == {"wiki": 0.5, "wiki, bare": 0.0, "weather": 0.0, "weather, bare": 0.0}
    failures = [(f["skill"], f["by"], f["expected"]) for f in report["copy_failures"]]
    assert ("wiki", "wiki", [said.upper()]) not in failures
    assert ("wiki", "wiki", ["Nobodysaysthis"]) in failures
    assert {"skill": "wiki", "by": "backbone", **_asked(said.upper()), "reply": alone} in report["copy_failures"]
    assert len(failures) == 5
    assert sum(done for done, _ in told) == told[0][1] == 2 * len(PROMPTS) + 6


def _asked(name: str) -> dict[str, Any]:
    return {"message": "Who wrote it?", "expected": [name]}


def test_a_skill_without_an_adapter_is_not_judged(bare: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(monkeypatch, tmp_path, [case("Pim")])
    assert set(evaluate_backbone(bare, None)["copying"]) == {"wiki, bare"}


# -- the dialogues it is measured on ---------------------------------------------------------------------------------


def test_only_validation_dialogues_are_read(tmp_path: Path) -> None:
    corpus(tmp_path, "one", ["Is it late?", "Is it early?"])
    corpus(tmp_path, "two", ["Are you there?"])
    found = read_validation(tmp_path, ["two"])
    assert {name: [d.turns[0].text for d in ds] for name, ds in found.items()} == {
        "one": ["Is it late?", "Is it early?"]
    }
    assert list(read_validation(tmp_path / "two")) == ["two"]


def test_folders_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        read_validation(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no corpus: expected NAME/train\.jsonl"):
        read_validation(tmp_path)
    corpus(tmp_path, "one", [])
    with pytest.raises(DataError, match=r"no corpus has a validation dialogue"):
        read_validation(tmp_path)
    corpus(tmp_path, "two", ["Are you there?"])
    with (tmp_path / "two" / "valid.jsonl").open("a") as stream:
        stream.write('\n{"turns": []}')
    with pytest.raises(DataError, match=r'valid\.jsonl:2: "turns" is missing or empty'):
        read_validation(tmp_path)


def test_a_corpus_that_does_not_fit_is_named(bare: Bot, tmp_path: Path) -> None:
    corpus(tmp_path, "long", ["word " * 500])
    with pytest.raises(DataError, match=r"corpus long: no document fits into 128 positions"):
        evaluate_backbone(bare, tmp_path)


# -- the page --------------------------------------------------------------------------------------------------------

REPORT: dict[str, Any] = {
    "backbone": "tiny",
    "fingerprint": "0123456789abcdef",
    "parameters": 12345,
    "bits_per_byte": {"two": 1.5, "one": 1.25},
    "bits_per_byte_mean": 1.375,
    "distinct_1": {"sampled": 0.5, "greedy": 0.25},
    "distinct_2": {"sampled": 0.75, "greedy": 0.5},
    "repetition_rate": {"sampled": 0.1, "greedy": 0.2},
    "mean_length": {"sampled": 9.5, "greedy": 8.0},
    "copying": {"wiki": 0.9, "wiki, bare": 0.4},
    "copy_failures": [
        {"skill": "wiki", "by": "wiki", "message": "Who?", "expected": ["Pim", "Pam"], "reply": "I | don't\nknow."},
        {"skill": "wiki", "by": "backbone", "message": "Who?", "expected": ["Pim"], "reply": "<b>You</b>"},
    ],
    "prompts": [
        {"prompt": "Hello!", "sampled": "Hi *there*", "greedy": "Hi."},
        {"prompt": "why", "history": ["No.", "do you ski", "No way."], "sampled": "So.", "greedy": "Because."},
    ],
}


def test_the_page_has_the_figures_then_the_talk_then_the_failures(tmp_path: Path) -> None:
    write_page(REPORT, tmp_path / "new" / "page.md")
    page = (tmp_path / "new" / "page.md").read_text(encoding="utf-8")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["page.md"]
    assert page.startswith("# What the backbone tiny says\n\n12,345 parameters, fingerprint `0123456789ab`")
    assert "| distinct words over all words | 0.50 | 0.25 |" in page
    assert "| replies that say three words in a row twice | 10% | 20% |" in page
    assert "| wiki, bare | 40% |" in page
    assert "| **mean of the corpora** | **1.375** |\n| one | 1.250 |\n| two | 1.500 |" in page
    assert "### 1\n\n**you:** Hello!\n\n> *sampled:* Hi \\*there\\*  \n> *greedy:* Hi." in page
    assert "**bot:** No.  \n**you:** do you ski  \n**bot:** No way.  \n**you:** why\n\n> *sampled:* So." in page
    assert (
        "### wiki\n\n| asked | expected | reply |\n| --- | --- | --- |\n| Who? | Pim or Pam | I \\| don't know. |"
        in page
    )
    assert "### wiki, the backbone alone" in page
    assert "\\<b\\>You\\</b\\>" in page
    assert page.index("## Figures") < page.index("## Conversations") < page.index("## Names that were not used")


def test_the_page_does_without_bits_per_byte_and_failures(tmp_path: Path) -> None:
    report = {key: value for key, value in REPORT.items() if not key.startswith("bits")} | {"copy_failures": []}
    write_page(report, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "bits per byte" not in page
    assert page.endswith("None: every reply used a name from its facts.\n")


def test_the_command_prints_the_figures_and_writes_the_page(
    trained: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(monkeypatch, tmp_path / "asked", [case("Pim")])
    corpus(tmp_path / "talk", "one", ["Is it late?"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    evaluate_all(trained, ["backbone"], str(tmp_path / "talk"), Path("figures.json"), 5, 0, Path("said.md"))
    out = capsys.readouterr().out
    report = json.loads(Path("figures.json").read_text())["backbone"]
    for shown, value in (
        ("bits_per_byte, one", report["bits_per_byte"]["one"]),
        ("bits_per_byte_mean", report["bits_per_byte_mean"]),
        ("distinct_1, greedy", report["distinct_1"]["greedy"]),
        ("copying, wiki, bare", report["copying"]["wiki, bare"]),
    ):
        assert re.search(rf"{shown} +│ {re.escape(f'{value:.4g}')} ", out), shown
    assert "its replies: said.md" in out
    assert "## Conversations" in Path("said.md").read_text(encoding="utf-8")
    evaluate_all(trained, ["backbone"], None, None, 5, 0)
    assert "no bits per byte: they need --data FOLDER" in capsys.readouterr().out
    assert Path("backbone.md").is_file()
