"""Answering works wherever the backbone is, and in bf16: nothing is made on the processor in passing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import pytest
import torch
from conftest import PLACES, Place, fresh_adapter, placed
from drafts import generate
from elsewhere import pretending
from torch import Tensor

from adapterbot.engine.request import Request
from adapterbot.engine.scheduler import Scheduler
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile
from adapterbot.network.backbone import Backbone
from adapterbot.network.likelihood import reply_nats
from adapterbot.reply.prompt import encode
from adapterbot.turn import Decode, Draft, Prompt

SKILLS = ("wide", "plain", None, "narrow")
FACTS = ["It is Pim Wendle, of Orrab."]


def files(backbone: Backbone) -> dict[str, AdapterFile]:
    """Adapters that change a lot."""
    made = {}
    for seed, name in enumerate(("wide", "narrow", "plain")):
        adapter = fresh_adapter(backbone, 4 + seed, seed=seed)
        with torch.no_grad():
            adapter.tensors()["up.weight"].normal_(0.0, 0.3, generator=torch.Generator().manual_seed(seed))
        made[name] = adapter.file().scaled(1.5 if name == "plain" else 1.0)
    return made


def prompts(backbone: Backbone) -> list[Prompt]:
    return [
        encode(backbone.tokenizer, FACTS[: 0 if skill == "plain" else 1], [message], positions=128, reserve=8)
        for skill, message in zip(SKILLS, ("Who is it?", "Hello there, how are you?", "Hm?", "And who?"), strict=True)
    ]


def requests(backbone: Backbone) -> list[Request]:
    """Two drafts for each of several skills, prompts of different lengths."""
    decode = Decode(temperature=0.9, drafts=2, max_tokens=8, repetition_penalty=1.3, top_p=0.9)
    return [
        Request(prompt.ids, skill, decode, seed)
        for seed, (prompt, skill) in enumerate(zip(prompts(backbone), SKILLS, strict=True))
    ]


def drafts(backbone: Backbone) -> list[list[Draft]]:
    """All drafts of one batch."""
    return generate(backbone, AdapterBank(backbone, files(backbone)), requests(backbone))


def texts(made: list[list[Draft]]) -> list[list[str]]:
    return [[draft.text for draft in row] for row in made]


def test_another_device_gives_the_same_replies_and_nothing_meets_the_processor(tiny: Backbone) -> None:
    with pretending() as device:
        there = replace(tiny, decoder=copy.deepcopy(tiny.decoder).to(device))
        assert there.device == device
        made = drafts(there)
    assert texts(made) == texts(drafts(tiny))
    for ours, theirs in zip(chain(*made), chain(*drafts(tiny)), strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-5)


def test_likelihoods_are_the_same_on_another_device(tiny: Backbone) -> None:
    rows = [Prompt(p.ids, (*[-100] * 4, *p.ids[4:])) for p in prompts(tiny)[:1]]
    wanted = reply_nats(tiny, AdapterBank(tiny, files(tiny)).select(["wide"]), rows)
    with pretending() as device:
        there = replace(tiny, decoder=copy.deepcopy(tiny.decoder).to(device))
        with torch.inference_mode():
            nats = reply_nats(there, AdapterBank(there, files(there)).select(["wide"]), rows).cpu()
    torch.testing.assert_close(nats, wanted)


def test_the_pretended_device_notices_what_a_gpu_would() -> None:
    with pretending() as device:
        there = torch.zeros(3, 2, device=device)
        assert there.device == device
        assert (there + 1).cpu().tolist() == [[1.0, 1.0]] * 3
        assert (there + torch.tensor(1.0)).device == device, "a number may come from anywhere"
        assert there[torch.tensor([0, 2])].shape == (2, 2), "and so may an index"
        mixes: list[Callable[[], Tensor]] = [
            lambda: there + torch.ones(2),
            lambda: there @ torch.ones(2, 2),
            lambda: torch.cat([there, torch.ones(1, 2)]),
            lambda: torch.ones(3, 2)[torch.tensor([0], device=device)],
            lambda: torch.where(torch.tensor([True, False]), there, 0.0),
            lambda: there.gather(0, torch.zeros(1, 2, dtype=torch.long)),
        ]
        for mixed in mixes:
            with pytest.raises(RuntimeError, match="same device"):
                mixed()


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_every_type_and_device_samples_what_it_scores(tiny: Backbone, place: Place) -> None:
    """Drafts of a batch have the likelihood that the same backbone gives them alone, without a cache."""
    backbone = placed(tiny, place)
    bank = AdapterBank(backbone, files(backbone))
    tolerance = 1e-3 if place.dtype == torch.float32 else 0.2
    samples = Scheduler(backbone).grow(bank, requests(backbone))
    for prompt, skill, grown in zip(prompts(backbone), SKILLS, samples, strict=True):
        for one in grown:
            ids = [*one.ids, *([backbone.tokenizer.separator] if one.finished else [])]
            row = Prompt((*prompt.ids, *ids), (*[-100] * len(prompt.ids), *ids))
            with torch.inference_mode():
                nats = reply_nats(backbone, bank.select([skill]), [row])
            assert len(nats) == one.steps
            assert -float(nats.mean()) == pytest.approx(one.logprob / one.steps, abs=tolerance)
