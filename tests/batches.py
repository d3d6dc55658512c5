"""Requests of many kinds for the tests of the engine, and what each of them gives alone."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from adapterbot.engine.prefix_cache import PrefixCache
from adapterbot.engine.request import Request, Sample
from adapterbot.engine.scheduler import Scheduler
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone
from adapterbot.turn import Decode

PLAIN = Decode(temperature=1.0, top_p=0.95, repetition_penalty=1.1, no_repeat_ngram=3, max_tokens=8)
SKILLS = ("wide", "reply", "upper", "lora", "0.5*wide+0.5*reply", "upper+wide", None)
TALK = tuple(range(300, 340))  # what prompts have in common


def request(skill: str | None = "wide", seed: int = 0, length: int = 20, **changes: Any) -> Request:
    """A prompt of so many tokens, whose last three open the reply."""
    own = {n: changes.pop(n) for n in list(changes) if n in {f.name for f in dataclasses.fields(Request)}}
    ids = (*TALK, *range(1000 + seed, 1100 + seed))[:length]
    return Request(
        **{"ids": ids, "adapter": skill, "decode": replace(PLAIN, **changes), "seed": seed, "reply": length - 3} | own
    )


def made(samples: Sequence[Sample]) -> list[tuple[list[int], float, bool]]:
    """All that there is of drafts, to the last bit."""
    return [(list(draft.ids), draft.logprob, draft.finished) for draft in samples]


def tokens(samples: Sequence[Sample]) -> list[list[int]]:
    return [list(draft.ids) for draft in samples]


def alone(bank: AdapterBank, wanted: Request) -> list[Sample]:
    """What a request gives by itself."""
    return Scheduler(bank.backbone).grow(bank, [wanted])[0]


class Stepped(Scheduler):
    """One whose steps are made by hand, so that a test says what happens between which of them."""

    def __init__(self, backbone: Backbone, prefixes: PrefixCache | None = None, line: int = 1024) -> None:
        super().__init__(backbone, prefixes, line=line)
        self._thread = threading.current_thread()

    @torch.inference_mode()
    def step(self) -> bool:
        going = self._step()
        self._thread = threading.current_thread()
        return going

    def run(self) -> None:
        while self.step():
            pass


def mixture(count: int = 24) -> list[Request]:
    return [
        request(
            SKILLS[i % len(SKILLS)], i, 10 + 7 * i % 80, temperature=i % 3 / 2, drafts=1 + i % 3, max_tokens=4 + i % 9
        )
        for i in range(count)
    ]
