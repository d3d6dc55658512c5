"""What is learnt of a tree of replies is what a chat computes, prompt by prompt; what they share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import PLACES, Place, make_chatml, make_tiny, placed
from drafts import generate
from torch import Tensor

from adapterbot.engine.request import Request
from adapterbot.engine.scheduler import Scheduler
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.backbone import Backbone
from adapterbot.network.likelihood import reply_nats, total_tree_nats, tree_nats
from adapterbot.network.tokenizer import IGNORE
from adapterbot.network.tree import merge
from adapterbot.reply.prompt import encode
from adapterbot.spec.tables import AdapterTable
from adapterbot.turn import Decode, Prompt

TALK = [
    "My dog is ill.",
    "Oh no! What is it?",
    "It coughs.",
    "Poor thing. Since when?",
    "Since Monday, I think.",
    "Ask a vet.",
]
FACTS = [["A vet treats animals."], ["A cough may be a cold.", "Dogs cough too."], []]
NEAR = {torch.float32: 1e-4, torch.bfloat16: 0.15}


@pytest.fixture(scope="module", params=["chatml", "gpt2"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """One of each family and layout."""
    return make_chatml() if request.param == "chatml" else make_tiny(layers=3)


def rows(backbone: Backbone, facts: Sequence[Sequence[str]] = FACTS) -> list[Prompt]:
    """The three replies of a dialogue, each with facts of its own."""
    return [
        encode(backbone.tokenizer, facts[i], TALK[: 2 * i + 2], positions=backbone.positions, learn=[2 * i + 1])
        for i in range(3)
    ]


def moved(backbone: Backbone, on: str, first_layer: int, seed: int = 0) -> Adapter:
    """An adapter that changes much."""
    adapter = Adapter(backbone.shape, AdapterTable(bottleneck=8, first_layer=first_layer, on=on), seed)
    with torch.no_grad():
        adapter.get_parameter("up_weight").normal_(0, 0.5, generator=torch.Generator().manual_seed(seed))
    return adapter


@torch.inference_mode()
def served(backbone: Backbone, adapter: Adapter | None, row: Prompt) -> Tensor:
    """Nats of a reply's tokens as they are computed in a chat: a prompt, and then token by token."""
    cache = Cache(backbone.shape, 1, len(row.ids), dtype=backbone.dtype, device=backbone.device)
    adapters = adapter.adapters(backbone.dtype) if adapter else None
    border = row.reply if adapter and adapter.on == "reply" else 0
    ids = torch.tensor([row.ids], device=backbone.device)
    if border:
        backbone.decoder(ids[:, :border], None, cache)
    begin = next(i for i, label in enumerate(row.labels) if label >= 0)
    steps = [ids[:, border:begin], *ids[:, begin:-1].split(1, 1)]
    logits = [backbone.decoder.logits(backbone.decoder(step, adapters, cache)[0, -1]).float() for step in steps]
    nats = [-torch.log_softmax(row, -1) for row in logits]
    return torch.stack([n[label] for n, label in zip(nats, ids[0, begin:], strict=True)])


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("first_layer", [0, 1, 2])
@pytest.mark.parametrize("on", ["all", "reply"])
@pytest.mark.parametrize("facts", [FACTS, [[], [], []], [["I am a vet."]] * 3], ids=["changing", "none", "constant"])
def test_a_tree_learns_what_a_chat_computes(
    backbone: Backbone, on: str, first_layer: int, facts: Sequence[Sequence[str]], place: Place
) -> None:
    there = placed(backbone, place)
    adapter = moved(there, on, first_layer).to(place.device)
    prompts = rows(there, facts)
    wanted = torch.cat([served(there, adapter, row) for row in prompts])
    assert float((wanted - torch.cat([served(there, None, row) for row in prompts])).abs().max()) > 0.1
    trees = [merge(prompts, on == "all"), merge(prompts[:1], on == "all")]
    with torch.no_grad():
        found = tree_nats(there, adapter.adapters(there.dtype), trees)
    near = NEAR[place.dtype]
    assert float((found[: len(wanted)] - wanted).abs().mean()) < near
    assert float((found[len(wanted) :] - wanted[: len(found) - len(wanted)]).abs().mean()) < near
    bare = torch.cat([served(there, None, row) for row in prompts])
    assert float((tree_nats(there, None, trees[:1]) - bare).abs().mean()) < near


def test_evaluation_computes_the_same(backbone: Backbone) -> None:
    adapter = moved(backbone, "reply", 1)
    wanted = torch.cat([served(backbone, adapter, row) for row in rows(backbone)])
    assert torch.allclose(reply_nats(backbone, adapter.adapters(), rows(backbone)), wanted, atol=1e-4)
    trees = [merge(rows(backbone), whole=False)]
    assert total_tree_nats(backbone, adapter.adapters(), trees)[0] == pytest.approx(float(wanted.sum()), abs=1e-3)


def plain(backbone: Backbone, adapter: Adapter | None, row: Prompt) -> Tensor:
    """Nats of the learnt tokens by a forward pass over the row alone, with the adapter on all tokens."""
    adapters = adapter.adapters() if adapter else None
    logits = backbone.decoder.logits(backbone.decoder(torch.tensor([row.ids]), adapters))[0]
    labels = torch.tensor(row.labels[1:])
    return F.cross_entropy(logits[:-1][labels != IGNORE], labels[labels != IGNORE], reduction="none")


def test_the_backbone_alone_is_judged_by_all_utterances_of_a_row(backbone: Backbone) -> None:
    row = encode(backbone.tokenizer, [], TALK, positions=backbone.positions, learn=range(1, len(TALK)))
    assert min(i for i, label in enumerate(row.labels) if label != IGNORE) < row.reply
    with torch.no_grad():
        assert torch.allclose(reply_nats(backbone, None, [row]), plain(backbone, None, row), atol=1e-4)


def test_gradients_are_those_of_the_rows_one_by_one(backbone: Backbone) -> None:
    slopes = []
    for by_tree in (True, False):
        adapter = moved(backbone, "all", 1)
        if by_tree:
            nats = tree_nats(backbone, adapter.adapters(), [merge(rows(backbone), whole=True)])
        else:
            nats = torch.cat([plain(backbone, adapter, row) for row in rows(backbone)])
        nats.mean().backward()
        slopes.append({n: p.grad for n, p in adapter.named_parameters()})
    for name, slope in slopes[0].items():
        assert slope is not None
        assert float(slope.abs().max()) > 0 or name == "norm_bias"
        other = slopes[1][name]
        assert other is not None
        assert torch.allclose(slope, other, atol=1e-5), name


def test_what_is_alike_is_computed_once(chatml: Backbone) -> None:
    """The conversation once, and of each reply its facts, what opens it, and its text."""
    prompts = rows(chatml)
    conversation = prompts[2].reply
    tree = merge(prompts, whole=False)
    assert tree.prompts == conversation
    assert tree.replies == sum(len(row.ids) - row.reply - 1 for row in prompts)
    assert tree.labels.tolist() == [label for row in prompts for label in row.labels if label >= 0]
    whole = merge(rows(chatml, [[], [], []]), whole=True)
    assert (whole.prompts, whole.replies, whole.tokens) == (0, whole.tokens, whole.tokens)
    assert whole.tokens == len(rows(chatml, [[], [], []])[2].ids) - 1


# -- served ----------------------------------------------------------------------------------------------------------

GREEDY = Decode(temperature=0.0, repetition_penalty=1.0, no_repeat_ngram=0, min_tokens=0, max_tokens=6, drafts=2)


def asked(backbone: Backbone, adapter: str | None, talk: Sequence[str], facts: Sequence[str] = ()) -> Request:
    prompt = encode(backbone.tokenizer, facts, talk, positions=backbone.positions)
    return Request(prompt.ids, adapter, GREEDY, 0, prompt.reply)


def test_one_batch_holds_adapters_on_all_tokens_on_replies_and_none(backbone: Backbone) -> None:
    files = {
        "all": moved(backbone, "all", 0, 1).file(),
        "reply": moved(backbone, "reply", 1, 2).file(),
        "other": moved(backbone, "reply", 0, 3).file(),
    }
    bank = AdapterBank(backbone, files)
    requests = [
        asked(backbone, "all", TALK[:3]),
        asked(backbone, "reply", TALK[:1], FACTS[1]),
        asked(backbone, None, TALK[:5]),
        asked(backbone, "other", TALK[:3], FACTS[0]),
        asked(backbone, "reply", TALK[:5]),
    ]
    together = generate(backbone, bank, requests)
    for request, drafts in zip(requests, together, strict=True):
        alone = generate(backbone, bank, [request])[0]
        assert [d.text for d in drafts] == [d.text for d in alone]
        assert drafts[0].logprob == pytest.approx(alone[0].logprob, abs=1e-4)


@pytest.mark.parametrize("on", ["all", "reply"])
def test_what_is_generated_is_as_likely_as_it_is_learnt(backbone: Backbone, on: str) -> None:
    adapter = moved(backbone, on, 1)
    bank = AdapterBank(backbone, {"a": adapter.file()})
    request = replace(asked(backbone, "a", TALK[:3], FACTS[1]), decode=replace(GREEDY, drafts=1))
    grown = Scheduler(backbone).grow(bank, [request])[0][0]
    said = [*grown.ids, *([backbone.tokenizer.separator] if grown.finished else [])]
    labels = (*[IGNORE] * len(request.ids), *said)
    tree = merge([Prompt((*request.ids, *said), labels, reply=request.reply)], on == "all")
    assert total_tree_nats(backbone, adapter.adapters(), [tree])[0] == pytest.approx(-grown.logprob, abs=1e-3)
