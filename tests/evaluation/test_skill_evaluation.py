"""The figures are what they are called: checked against values worked out by hand."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import fresh_adapter, random_adapter

from adapterbot.bot import Bot
from adapterbot.data.dialogue import Dialogue, DialogueTurn, read_dialogues
from adapterbot.errors import DataError
from adapterbot.evaluation.skill import evaluate_skill, held_out_dialogues, likelihood_figures, parameters
from adapterbot.home import DATA, Home
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import load_adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.likelihood import perplexity
from adapterbot.reply.answer import Responder
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.windows import replies
from adapterbot.turn import DECODE_SETTINGS, Decode, Prompt

QUICK = Decode(max_tokens=5)
SEVERAL = Decode(max_tokens=12, drafts=3)
ROWS = [
    Prompt((300, 1, 301, 302, 1), (-100, -100, 301, 302, 1)),
    Prompt((400, 1, 401), (-100, -100, 401)),
    Prompt((500, 501, 502, 1, 503, 1), (-100, -100, -100, -100, 503, 1)),
]


def quick(spec: SkillSpec) -> SkillSpec:
    """The same skill with short replies."""
    return spec.model_copy(update={"decode": QUICK})


def test_perplexity_is_exp_of_the_mean_over_all_reply_tokens(tiny: Backbone) -> None:
    losses = []
    for row in ROWS:
        with torch.inference_mode():
            logits = tiny.decoder.logits(tiny.decoder(torch.tensor([row.ids])))[0]
        wanted = [i for i, label in enumerate(row.labels) if label >= 0]
        losses += [float(F.cross_entropy(logits[i - 1], torch.tensor(row.ids[i]))) for i in wanted]
    assert len(losses) == 6
    assert perplexity(tiny, None, ROWS) == pytest.approx(math.exp(sum(losses) / 6), rel=1e-4)
    assert perplexity(tiny, None, ROWS[::-1]) == pytest.approx(perplexity(tiny, None, ROWS), rel=1e-5)


def test_a_hopeless_model_has_an_infinite_perplexity(tiny: Backbone) -> None:
    decoder = copy.deepcopy(tiny.decoder)
    with torch.no_grad():
        for matrix in decoder.parameters():
            matrix.mul_(1000)  # logits as far apart
    assert perplexity(replace(tiny, decoder=decoder), None, ROWS) == math.inf


def test_a_skill_is_scored_on_its_dialogues(tiny: Backbone, home: Home, tmp_path: Path) -> None:
    spec = quick(SkillFolders(home).load("empathetic"))
    dialogues = list(read_dialogues(DATA / "samples" / "empathetic.jsonl"))[:6]
    path = tmp_path / "adapter.safetensors"
    random_adapter(tiny, path, 0)
    bank = AdapterBank(tiny, {"empathetic": load_adapter(path, tiny.shape, tiny.fingerprint)})
    told: list[int] = []
    figures = evaluate_skill(spec, Responder(tiny, bank), dialogues, most=5, seed=3, advance=told.append).figures
    assert figures["replies"] == sum(told) == 5
    assert figures["perplexity"] != figures["perplexity_backbone"]
    assert all(math.isfinite(v) and v >= 0 for v in figures.values())
    assert 0 < figures["distinct_1"] <= 1
    again = evaluate_skill(spec, Responder(tiny, bank), dialogues, most=5, seed=3).figures
    assert figures.pop("seconds_per_reply") > 0 < again.pop("seconds_per_reply")
    assert figures == again
    bare = evaluate_skill(spec, Responder(tiny, AdapterBank(tiny)), dialogues, most=5, seed=3).figures
    assert bare["perplexity"] == pytest.approx(bare["perplexity_backbone"])


def test_dialogues_without_a_reply_are_refused(tiny: Backbone, home: Home) -> None:
    alone = [Dialogue("d", (DialogueTurn("user", "Hi!"),))]
    with pytest.raises(DataError, match="no system reply to score for skill 'empathetic'"):
        evaluate_skill(SkillFolders(home).load("empathetic"), Responder(tiny, AdapterBank(tiny)), alone)


def test_bits_per_byte_are_those_of_the_replies(tiny: Backbone, home: Home) -> None:
    spec = SkillFolders(home).load("empathetic")
    said = Dialogue(
        "d",
        (
            DialogueTurn("user", "Hi!"),
            DialogueTurn("system", "Grüß dich."),
            DialogueTurn("user", "Hm?"),
            DialogueTurn("system", "Ah."),
        ),
    )
    figures = likelihood_figures(tiny, None, list(replies(said, spec)))
    tokens = sum(len(tiny.tokenizer.encode(text)) + 1 for text in ("Grüß dich.", "Ah."))
    size = len("Grüß dich.".encode()) + 1 + len("Ah.") + 1
    wanted = tokens * math.log2(figures["perplexity"]) / size
    assert figures["bits_per_byte"] == pytest.approx(wanted, rel=1e-5)
    too_long = Dialogue("d", (DialogueTurn("user", "Hi!"), DialogueTurn("system", "word " * 300)))
    assert likelihood_figures(tiny, None, list(replies(too_long, spec))) == {}


@pytest.mark.parametrize("first", [0, 1])
def test_parameters_are_those_of_the_adapter_file(tiny: Backbone, first: int) -> None:
    wide = fresh_adapter(tiny, 16)
    own = fresh_adapter(tiny, 8, first)
    bank = AdapterBank(tiny, {"wide": wide.file(), "own": own.file()})
    assert parameters(bank, "own") == own.parameter_count
    assert parameters(bank, "wide") == wide.parameter_count
    assert parameters(bank, "chitchat") == 0


@pytest.mark.parametrize("skill", ["empathetic", "persona", "wiki", "weather"])
def test_evaluation_and_chat_give_the_same_reply(shared_bot: Bot, skill: str) -> None:
    spec = shared_bot.specs[skill].model_copy(update={"decode": SEVERAL})
    settings = {name: getattr(SEVERAL, name) for name in DECODE_SETTINGS if name != "seed"}
    dialogues = list(read_dialogues(DATA / "samples" / f"{skill}.jsonl"))[:6]
    judged = evaluate_skill(spec, shared_bot.responder, dialogues, most=6, seed=11)
    pairs = zip(judged.evaluation_set.windows, judged.predictions, strict=True)
    for seed, (window, prediction) in enumerate(pairs, start=11):
        *past, message = window.utterances[:-1]
        reply = shared_bot.respond(message, past, skill=skill, seed=seed, facts=window.facts, **settings)
        assert reply.text == prediction.reply, "what is measured is what is served"


def test_a_file_is_judged_whole_and_as_it_is(shared_bot: Bot, tmp_path: Path) -> None:
    path = tmp_path / "held.jsonl"
    rows = [
        {
            "id": f"d{i}",
            "domain": "elsewhere",
            "turns": [
                {"speaker": "user", "text": f"What about number {i}?"},
                {"speaker": "system", "text": f"It is number {i}.", "knowledge": [f"{i} comes before {i + 1}."]},
            ],
        }
        for i in range(23)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    spec, dialogues, origin = held_out_dialogues(shared_bot.specs["wiki"], str(path))
    assert [d.id for d in dialogues] == [f"d{i}" for i in range(23)]
    assert origin == f"{path} (23 dialogues, all of them)"
    judged = evaluate_skill(quick(spec), shared_bot.responder, dialogues, most=500)
    assert judged.figures["replies"] == 23
    assert {"relevance", "relevance_reference", "f1_copied_facts", "knowledge_f1", "unsupported"} <= set(judged.figures)
    assert [s.facts for s in judged.predictions] == [(f"{i} comes before {i + 1}.",) for i in range(23)]
    assert [s.reference for s in judged.predictions][:2] == ["It is number 0.", "It is number 1."]


def test_a_file_may_give_its_facts_either_way(shared_bot: Bot, tmp_path: Path) -> None:
    turns = [
        {"speaker": "user", "text": "And you?"},
        {"speaker": "system", "text": "I dive.", "knowledge": ["I dive."]},
    ]
    path = tmp_path / "held.jsonl"
    path.write_text(json.dumps({"turns": turns}))

    def facts(skill: str) -> list[tuple[str, ...]]:
        spec, dialogues, _ = held_out_dialogues(shared_bot.specs[skill], str(path))
        return [w.facts for d in dialogues for w in replies(d, spec)]

    assert facts("persona") == [("I dive.",)], "its own corpus has them in the context"
    assert facts("empathetic") == [()], "it reads no facts"
    path.write_text(json.dumps({"turns": turns, "context": ["I cook."]}))
    assert facts("persona") == [("I cook.",)]


def test_other_data_is_judged_by_its_validation_part(shared_bot: Bot, tmp_path: Path) -> None:
    spec = shared_bot.specs["empathetic"]
    _, samples, origin = held_out_dialogues(spec, None)
    assert 0 < len(samples) < 48
    assert "sample dialogues" in origin
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match=r"empty.jsonl holds no dialogue"):
        held_out_dialogues(spec, str(tmp_path / "empty.jsonl"))
    (tmp_path / "bad.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"bad.jsonl:1: "):
        held_out_dialogues(spec, str(tmp_path / "bad.jsonl"))


def test_the_line_for_nothing_found_is_no_fact(shared_bot: Bot) -> None:
    weather = shared_bot.specs["weather"]
    alone = [Dialogue("d", (DialogueTurn("user", "Rain in Oslo?"), DialogueTurn("system", "I do not know.")))]
    judged = evaluate_skill(quick(weather), shared_bot.responder, alone)
    assert judged.evaluation_set.windows[0].facts == (weather.knowledge.when_empty,)
    assert judged.predictions[0].facts == ()
    assert "knowledge_f1" not in judged.figures
    assert "unsupported" in judged.figures
