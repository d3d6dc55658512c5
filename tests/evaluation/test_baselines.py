"""A skill beside the bare backbone and a fully trained one; the tables and the page that show it; the command."""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import fresh_adapter, random_adapter
from rich.console import Console

from adapterbot.bot import Bot
from adapterbot.cli import main
from adapterbot.cli.evaluate import check_request, evaluate_all
from adapterbot.data.dialogue import read_dialogues
from adapterbot.engine.scheduler import Scheduler
from adapterbot.errors import AdapterbotError, DataError, MissingPartError, UnknownNameError
from adapterbot.evaluation.baselines import (
    Comparison,
    all_weights_loss,
    evaluate_named,
    train_all_weights,
    training_corpus,
)
from adapterbot.evaluation.page import write_report_page
from adapterbot.evaluation.skill import SkillEvaluation, evaluate_skill
from adapterbot.evaluation.tables import MODELS, as_rich, grids
from adapterbot.home import DATA, Home
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone, fingerprint_of
from adapterbot.network.likelihood import perplexity_of, total_tree_nats, tree_nats
from adapterbot.reply.answer import Responder
from adapterbot.training.corpus import Corpus, load_corpus
from adapterbot.training.windows import training_trees, validation_trees

SPEC = """extends = "{base}"
summary = "Replies in a few words, so that a test is quick."
data = {{ path = "talk.jsonl" }}
decode = {{ drafts = 1, max_tokens = 6 }}
"""


@pytest.fixture(scope="module")
def bot(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Bot:
    """A bot with two skills of its user's, each with some of our sample dialogues and a random adapter."""
    home = Home(tmp_path_factory.mktemp("compared"))
    for seed, (name, base) in enumerate({"talker": "empathetic", "reader": "wiki"}.items()):
        random_adapter(tiny, home.skills / name / "adapter.safetensors", seed)
        (home.skills / name / "skill.toml").write_text(SPEC.format(base=base))
        samples = (DATA / "samples" / f"{base}.jsonl").read_text(encoding="utf-8").splitlines()
        (home.skills / name / "talk.jsonl").write_text("\n".join(samples[:24]), encoding="utf-8")
    return Bot(tiny, home, log=False)


def talk(bot: Bot, name: str) -> str:
    """The file with all dialogues of a skill."""
    return str(bot.specs[name].folder / "talk.jsonl")


@pytest.fixture(scope="module")
def corpus(bot: Bot) -> Corpus:
    """Few dialogues, the same to learn and to judge, so that all weights learn them in seconds."""
    whole = load_corpus(bot.specs["talker"])
    return replace(whole, train=whole.train[:8], valid=whole.train[:8])


@pytest.fixture(scope="module")
def full(bot: Bot, corpus: Corpus) -> Backbone:
    return train_all_weights(bot.specs["talker"], bot.backbone, corpus, epochs=1)


@pytest.fixture(scope="module")
def judged(bot: Bot) -> dict[str, SkillEvaluation]:
    """One skill judged on a file, the other on its own data and compared with everything."""
    both = Comparison(("bare", "full"), epochs=1)
    return {
        "reader": evaluate_named(bot, "reader", talk(bot, "reader"), most=24, comparison=Comparison()),
        "talker": evaluate_named(bot, "talker", None, most=24, comparison=both),
    }


def test_every_weight_learns_and_the_backbone_stays(bot: Bot, corpus: Corpus, full: Backbone) -> None:
    backbone = bot.backbone
    spec = bot.specs["talker"]
    assert fingerprint_of(backbone.decoder.state_dict()) == backbone.fingerprint
    for (name, now), before in zip(full.decoder.named_parameters(), backbone.decoder.parameters(), strict=True):
        assert not torch.equal(now, before), name
        assert not now.requires_grad
    trees = validation_trees(corpus.valid, spec, backbone.tokenizer, backbone.positions, 50)
    bare, learnt = (perplexity_of(*total_tree_nats(model, None, trees)) for model in (backbone, full))
    assert learnt < bare


def test_the_loss_is_the_one_that_adapters_learn_from(tiny: Backbone, bot: Bot, corpus: Corpus) -> None:
    trees = training_trees(corpus, bot.specs["talker"], tiny.tokenizer, tiny.positions, 0)[:4]
    untrained = tree_nats(tiny, fresh_adapter(tiny, 4).adapters(), trees).mean().detach()
    assert float(all_weights_loss(tiny, trees)) == pytest.approx(float(untrained), rel=1e-3)


def test_progress_is_told_in_updates_and_epochs_are_as_asked(bot: Bot, corpus: Corpus) -> None:
    told: list[tuple[int, int]] = []
    train_all_weights(bot.specs["talker"], bot.backbone, corpus, 1, advance=lambda *step: told.append(step))
    assert told == [(1, len(told))] * len(told)
    assert len(told) >= 8


def test_a_training_that_blows_up_is_an_error(bot: Bot, corpus: Corpus) -> None:
    with pytest.raises(AdapterbotError, match="cannot learn skill 'talker' at a rate of 1e"):
        train_all_weights(bot.specs["talker"], bot.backbone, corpus, epochs=1, rate=1e10)


def test_what_is_judged_on_is_not_learnt_from(bot: Bot) -> None:
    spec = bot.specs["talker"]
    everything = list(read_dialogues(Path(talk(bot, "talker"))))
    held = everything[:10]
    left = training_corpus(spec, None, held).train
    assert 0 < len(left) < len(everything)
    assert not {d.turns for d in left} & {d.turns for d in held}
    with pytest.raises(DataError, match="every training dialogue is one that the skill is judged on"):
        training_corpus(spec, None, everything)


def test_the_number_of_drafts_can_be_chosen(bot: Bot) -> None:
    asked: list[int] = []

    class Counting:
        def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]:
            asked.append(len(replies))
            return [0.0] * len(replies)

    spec = bot.specs["talker"]
    judged = evaluate_named(bot, "talker", talk(bot, "talker"), most=2, comparison=Comparison(), drafts=3)
    assert judged.evaluation_set.spec.decode.drafts == 3
    assert judged.evaluation_set.spec.decode.max_tokens == spec.decode.max_tokens
    assert judged.figures["seconds_per_reply"] > 0
    assert spec.decode.drafts == 1, "the skill's own setting stays"
    dialogues = list(read_dialogues(Path(talk(bot, "talker"))))[:2]
    evaluate_skill(judged.evaluation_set.spec, Responder(bot.backbone, bot.bank, ranker=Counting), dialogues)
    assert set(asked) == {3}


def test_all_compared_are_asked_the_same(bot: Bot, judged: dict[str, SkillEvaluation]) -> None:
    figures = judged["talker"].figures
    for name in ("perplexity", "bits_per_byte"):
        assert len({figures[f"{name}{end}"] for end in MODELS.values()}) == 3, name
    for name in ("f1", "f1_low", "rouge_l", "bleu", "distinct_2"):
        assert all(f"{name}{end}" in figures for end in MODELS.values()), name
    bare = evaluate_skill(
        bot.specs["talker"],
        bot.responder.over(bot.backbone, AdapterBank(bot.backbone)),
        load_corpus(bot.specs["talker"]).valid,
        most=24,
    ).figures
    for name in ("perplexity", "bits_per_byte", "f1", "distinct_2", "f1_constant"):
        assert bare[name] == pytest.approx(figures.get(f"{name}_backbone", figures[name])), name
    assert figures["parameters_full"] == bot.backbone.parameter_count > figures["parameters"] > 0
    gains = [math.log(figures[f"perplexity{end}"]) for end in ("_backbone", "", "_full")]
    assert figures["share_of_full_gain"] == pytest.approx((gains[0] - gains[1]) / (gains[0] - gains[2]))


def test_tables_fit_into_80_columns_and_f1_has_its_yardsticks(judged: dict[str, SkillEvaluation]) -> None:
    shown = {"covid_claims": judged["reader"].figures, **{name: j.figures for name, j in judged.items()}}
    found = {grid.title: grid for grid in grids(shown)}
    assert len(found) == 5
    for grid in found.values():
        console = Console(width=80)
        with console.capture() as capture:
            console.print(as_rich(grid))
        lines = capture.get().splitlines()
        assert max(map(len, lines)) <= 80
        assert len(lines) == len(grid.rows) + 3, "no row is wrapped"
        assert "…" not in capture.get()
    said = found["Replies"]
    assert {"F1", "95 %", "constant", "copy", "relevance", "dist-2"} <= set(said.head)
    row = dict(zip(said.head, said.rows[-1], strict=True))
    figures = judged["talker"].figures
    assert row["skill"] == "talker"
    assert row["constant"] == f"{figures['f1_constant']:.1f}"
    assert row["95 %"] == f"{figures['f1_low']:.1f}–{figures['f1_high']:.1f}"
    assert [r[0] for r in found["Keeping to the facts"].rows] == ["covid_claims", "reader"]
    whole = found["Adapter, bare backbone, all weights trained"].rows
    assert [r[:2] for r in whole] == [("talker", who) for who in MODELS]
    assert "nan" not in repr(found)


class Page(HTMLParser):
    """Tags in balance, texts, and what would be fetched from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_stands_alone_and_escapes_every_text(
    tiny: Backbone, judged: dict[str, SkillEvaluation], tmp_path: Path
) -> None:
    hostile = '<script>alert("1")</script> & <img src=//e.example/x> \ud800'
    said = [replace(s, reply=hostile, facts=(hostile,), reference=hostile) for s in judged["reader"].predictions]
    path = tmp_path / "new" / "page.html"
    write_report_page(path, tiny, judged | {"reader": replace(judged["reader"], predictions=said, origin=hostile)})
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    tags = [tag for tag, _ in page.seen]
    assert not {"script", "link", "iframe", "object", "svg"} & set(tags)
    pictures = [attributes for tag, attributes in page.seen if tag == "img"]
    assert len(pictures) == 2
    assert all(a["alt"] and a["src"].startswith("data:image/png;base64,iVBOR") for a in pictures)
    assert not [a for _, a in page.seen if any(key.startswith("on") for key in a)]
    assert not re.search(r"https?:", path.read_text(encoding="utf-8"))
    text = "\n".join(page.texts)
    assert text.count('<script>alert("1")</script>') == 1 + 3 * 5
    assert tags.count("article") == 5 + min(5, len(judged["talker"].predictions))
    assert all(s.reply in text for s in judged["talker"].predictions[:1])
    assert judged["talker"].predictions[0].utterances[-1] in text
    assert "constant" in text
    assert str(tiny.parameter_count)[-3:] in text
    assert list(path.parent.iterdir()) == [path]


def test_the_command_writes_figures_and_page(
    bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("adapterbot.bot.Bot.load", lambda *_, **__: bot)
    monkeypatch.setenv("ADAPTERBOT_HOME", str(bot.home.root))  # where the command looks whether there is such a skill
    out = tmp_path / "figures.json"
    html = tmp_path / "page.html"
    held = talk(bot, "talker")
    options = ["--data", held, "--most", "500", "--json", out, "--html", html, "--compare", "bare"]
    monkeypatch.setattr(sys, "argv", ["adapterbot", "evaluate", "talker", *map(str, options)])
    with contextlib.suppress(SystemExit):
        main()
    figures = json.loads(out.read_text())["talker"]
    assert figures["data"] == f"{held} (24 dialogues, all of them)"
    assert figures["replies"] == sum(t.speaker == "system" for d in read_dialogues(Path(held)) for t in d.turns[1:])
    assert {"relevance", "relevance_low", "f1_constant", "f1_backbone", "bits_per_byte", "parameters"} <= set(figures)
    shown = capsys.readouterr().out
    assert re.search(rf"talker +{figures['f1']:.1f} ", shown)
    assert "constant" in shown
    assert "<article>" in html.read_text()


def test_what_cannot_work_shows_before_the_work(bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scheduler, "attempts", lambda *_: pytest.fail("it began to reply"))
    with pytest.raises(UnknownNameError, match="did you mean 'reader'"):
        evaluate_all(bot, ["talker", "raeder"], talk(bot, "talker"), None, 5, 0)
    with pytest.raises(AdapterbotError, match="is about skills"):
        check_request(["claims"], None, tmp_path / "page.html")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else name)
    monkeypatch.setenv("ADAPTERBOT_HOME", str(bot.home.root))
    with pytest.raises(MissingPartError, match="matplotlib"):
        check_request(["talker"], talk(bot, "talker"), tmp_path / "page.html")


def test_a_hopeless_model_is_written_as_null(bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapterbot.evaluation.skill.perplexity_of", lambda *_: float("inf"))
    evaluate_all(bot, ["talker"], talk(bot, "talker"), tmp_path / "f.json", 3, 0, html=tmp_path / "page.html")
    text = (tmp_path / "f.json").read_text()
    assert json.loads(text)["talker"]["perplexity"] is None
    assert "Infinity" not in text
