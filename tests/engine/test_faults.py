"""Whatever fails in a batch fails alone: all others are answered as if it had not been there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from batches import alone, mixture, request, tokens
from drafts import mixed_bank
from torch import Tensor

from adapterbot.engine.request import Sample
from adapterbot.engine.scheduler import Scheduler
from adapterbot.errors import ReplyError
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone

POISON = 4242


@pytest.fixture(scope="module")
def bank(tiny: Backbone) -> AdapterBank:
    return mixed_bank(tiny)


def poisoned(monkeypatch: pytest.MonkeyPatch, backbone: Backbone, act: Any) -> None:
    """Whenever a row reads POISON, `act` is called with the hidden states and which rows these are."""
    forward = type(backbone.decoder).forward

    def changed(decoder: Any, ids: Tensor, *more: Any) -> Any:
        hit = (ids == POISON).any(-1)
        hidden = forward(decoder, ids, *more)
        return act(hidden, hit) if bool(hit.any()) else hidden

    monkeypatch.setattr(type(backbone.decoder), "forward", changed)


def fail(error: Exception) -> Any:
    def act(_: Tensor, __: Tensor) -> Tensor:
        raise error

    return act


def no_number(hidden: Tensor, hit: Tensor) -> Tensor:
    return hidden.masked_fill(hit[:, None, None], math.nan)


FULL = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried ...")
FAULTS = {
    "raises": (fail(RuntimeError("boom")), RuntimeError, "boom"),
    "no memory": (fail(FULL), ReplyError, "not enough memory"),
    "out of memory": (fail(torch.OutOfMemoryError("CUDA out of memory")), ReplyError, "fewer drafts"),
    "no number": (no_number, ReplyError, "gave no numbers"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("when", ["reading", "growing"])
def test_who_fails_fails_alone(bank: AdapterBank, monkeypatch: pytest.MonkeyPatch, fault: str, when: str) -> None:
    others = mixture(6)
    wanted = [tokens(alone(bank, one)) for one in others]
    act, error, message = FAULTS[fault]
    bad = request("wide", 9, drafts=2, start=(5, POISON, 7), max_tokens=12)
    if when == "reading":
        bad = replace(bad, ids=(*bad.ids[:10], POISON, *bad.ids[10:]), start=())
    poisoned(monkeypatch, bank.backbone, act)
    scheduler = Scheduler(bank.backbone)
    found = scheduler.attempts(bank, [*others[:3], bad, *others[3:]])
    failed = found.pop(3)
    assert isinstance(failed, error)
    assert message in str(failed)
    assert [tokens(samples) for samples in found if not isinstance(samples, Exception)] == wanted
    assert [tokens(samples) for samples in scheduler.grow(bank, others)] == wanted, "and afterwards"
    with pytest.raises(error, match=message):
        scheduler.grow(bank, [bad])


def test_an_adapter_that_is_no_number_fails_its_own_rows(tiny: Backbone, bank: AdapterBank) -> None:
    """It fills keys and values with what is none, in memory that others get next."""
    broken = replace(bank.file("wide"), stored={n: t * math.nan for n, t in bank.file("wide").stored.items()})
    worse = bank.with_adapter("wide", broken)
    others = [one for one in mixture(12) if one.adapter in ("reply", "lora", None)]
    found = Scheduler(tiny).attempts(worse, [request("wide", 3, drafts=3), *others, request("wide", 4), *others])
    assert all(isinstance(found[i], ReplyError) for i in (0, 1 + len(others)))
    fine = [tokens(samples) for samples in found if not isinstance(samples, Exception)]
    assert fine == [tokens(alone(bank, one)) for one in others] * 2


def test_what_prefers_drafts_may_fail(bank: AdapterBank) -> None:
    def prefer(begun: Sequence[Sample]) -> list[float]:
        raise KeyError("nothing is preferred")

    bad = request("wide", 1, drafts=3, agree=2, prefer=prefer, min_tokens=6)
    others = mixture(4)
    found = Scheduler(bank.backbone).attempts(bank, [*others, bad])
    assert isinstance(found.pop(), KeyError)
    assert [tokens(samples) for samples in found] == [tokens(alone(bank, one)) for one in others]  # type: ignore[arg-type]


def test_a_fault_of_the_loop_leaves_nobody_waiting(bank: AdapterBank, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = Scheduler(bank.backbone)
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "_read", fail_at_once)
        with pytest.raises(ZeroDivisionError):
            scheduler.grow(bank, [request()])
    assert tokens(scheduler.grow(bank, [request()])[0]) == tokens(alone(bank, request()))


def fail_at_once() -> None:
    raise ZeroDivisionError
