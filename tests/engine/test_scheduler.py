"""One thread for all requests: whatever else is in the batch, and whatever fails there, a reply is its solo run's."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import SKILLS, Stepped, alone, made, mixture, request, tokens
from drafts import mixed_bank
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from adapterbot.engine import scheduler as module
from adapterbot.engine.prefix_cache import PrefixCache
from adapterbot.engine.request import Deadline, Request, Sample
from adapterbot.engine.scheduler import ROWS, Scheduler
from adapterbot.errors import BusyError, LateError
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone, load_backbone
from adapterbot.network.int8 import kernel_here


@pytest.fixture(scope="module")
def bank(tiny: Backbone) -> AdapterBank:
    return mixed_bank(tiny)


@pytest.fixture(scope="module")
def rounded(tiny: Backbone, tiny_folder: Path) -> AdapterBank:
    """Adapters over int8 weights, of which the least difference of the last bits would make another reply."""
    return mixed_bank(load_backbone(tiny_folder, dtype=torch.int8) if kernel_here() else tiny)


# -- the same as alone ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A request that comes before a step, and is given up so many steps later."""

    request: Request
    arrives: int
    leaves: float


def asked() -> st.SearchStrategy[Asked]:
    wanted = st.builds(
        request,
        st.sampled_from(SKILLS),
        st.integers(0, 5),
        st.integers(5, 90),
        temperature=st.sampled_from([0.0, 0.7, 1.5]),
        top_k=st.sampled_from([0, 0, 5]),
        top_p=st.sampled_from([0.5, 0.95, 1.0]),
        min_tokens=st.sampled_from([0, 3]),
        max_tokens=st.integers(3, 12),
        drafts=st.sampled_from([1, 1, 2, 4]),
        agree=st.sampled_from([0, 0, 2]),
    )
    return st.builds(Asked, wanted, st.integers(0, 12), st.sampled_from([math.inf, math.inf, 0, 1, 4]))


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(asked(), min_size=1, max_size=7), st.sampled_from([0, 60_000, 2**28]), st.sampled_from([8, 128]))
def test_a_reply_is_that_of_its_solo_run(rounded: AdapterBank, everyone: list[Asked], memory: int, read: int) -> None:
    """Bit for bit, in a random mix of skills, lengths and settings that come and go, while prompts are forgotten."""
    scheduler = Stepped(rounded.backbone, PrefixCache(memory))
    jobs = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "READ", read)
        for step in range(100):
            for i, one in enumerate(everyone):
                if one.arrives == step:
                    jobs[i] = scheduler._submit(rounded, one.request)
                if one.arrives + one.leaves == step:
                    jobs[i].cancelled = True
            if not scheduler.step() and step > 12:
                break
    assert scheduler.prefixes.nbytes <= memory
    for i, one in enumerate(everyone):
        if not math.isfinite(one.leaves):
            assert jobs[i].next() is None
            assert made(jobs[i].samples) == made(alone(rounded, one.request)), one


def test_many_threads_get_what_each_would_get_alone(bank: AdapterBank) -> None:
    wanted = mixture()
    scheduler = Scheduler(bank.backbone)

    def read(one: Request) -> list[Sample]:
        *_, last = scheduler.stream(bank, one)
        return last

    with ThreadPoolExecutor(12) as pool:
        streamed = list(pool.map(read, wanted))
        grown = list(pool.map(lambda one: scheduler.grow(bank, [one])[0], wanted))
    for one, *found in zip(wanted, streamed, grown, strict=True):
        assert [tokens(samples) for samples in found] == [tokens(alone(bank, one))] * 2


def test_requests_share_steps(bank: AdapterBank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several decode in one forward pass, and who comes later joins them."""
    rows = list[int]()
    forward = type(bank.backbone.decoder).forward

    def counted(decoder: Any, ids: Tensor, *more: Any) -> Tensor:
        rows.append(len(ids) if ids.shape[1] == 1 else -ids.shape[1])
        return forward(decoder, ids, *more)

    monkeypatch.setattr(type(bank.backbone.decoder), "forward", counted)
    scheduler = Stepped(bank.backbone)
    first = scheduler._submit(bank, request("wide", 1, min_tokens=8, max_tokens=8, drafts=2))
    scheduler.step()
    scheduler.step()
    scheduler._submit(bank, request("lora", 2, min_tokens=5, max_tokens=5))
    scheduler.run()
    assert [n for n in rows if n > 0] == [2, 2, 3, 3, 3, 3, 2]
    assert first.over


def test_a_long_prompt_does_not_stall_those_that_grow(bank: AdapterBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ", 8)
    scheduler = Stepped(bank.backbone)
    growing = scheduler._submit(bank, request("reply", 1, min_tokens=12, max_tokens=12))
    scheduler.step()
    long = scheduler._submit(bank, request("wide", 2, 100))
    had = list[int]()
    while not growing.over:
        had.append(len(growing.samples[0].ids))
        scheduler.step()
    assert had == list(range(2, 12)), "a token at every step"
    assert not long.samples[0].ids
    scheduler.run()
    assert long.over


def test_who_came_first_is_read_first(bank: AdapterBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALONE", 16)
    monkeypatch.setattr(module, "READ", 16)
    scheduler = Stepped(bank.backbone)
    jobs = [scheduler._submit(bank, request("wide", i, 40, max_tokens=12, min_tokens=12)) for i in range(3)]
    begun = list[int]()
    while scheduler.step():
        begun += [i for i, job in enumerate(jobs) if job.samples[0].ids and i not in begun]
    assert begun == [0, 1, 2]


# -- back-pressure, cancels, deadlines -----------------------------------------------------------------------------


def test_who_comes_when_the_line_is_full_is_told_so(bank: AdapterBank) -> None:
    scheduler = Stepped(bank.backbone, line=100)
    short = request(max_tokens=1)
    let_in = [scheduler._submit(bank, short) for _ in range(100)]
    for _ in range(9_900):
        with pytest.raises(BusyError, match="100 replies are waited for already; try again"):
            scheduler._submit(bank, short)
    scheduler.run()
    wanted = tokens(alone(bank, short))
    assert all(job.next() is None and tokens(job.samples) == wanted for job in let_in)


def test_a_batch_of_one_caller_may_be_longer_than_the_line(bank: AdapterBank) -> None:
    scheduler = Scheduler(bank.backbone, line=ROWS)
    many = [request(None, i, 6, max_tokens=1) for i in range(3 * ROWS)]
    assert len(scheduler.grow(bank, many)) == len(many)


def wait_for_the_end(scheduler: Scheduler) -> None:
    """Its thread ends where there is no work; a minute is time enough."""
    until = time.monotonic() + 60
    while scheduler._thread is not None and time.monotonic() < until:
        time.sleep(0.01)


def test_a_client_that_never_reads_holds_nobody_up(rounded: AdapterBank) -> None:
    bank = rounded
    scheduler = Scheduler(bank.backbone)
    silent = scheduler.stream(bank, request("lora", 1, max_tokens=60, min_tokens=60))
    next(silent)
    other = request("wide", 2)
    assert tokens(scheduler.grow(bank, [other])[0]) == tokens(alone(bank, other))
    wait_for_the_end(scheduler)
    assert scheduler._thread is None, "its reply is made, and the thread has ended"
    *_, last = silent
    assert tokens(last) == tokens(alone(bank, request("lora", 1, max_tokens=60, min_tokens=60)))


@pytest.mark.parametrize("steps", [0, 1, 3, 5, 50])
def test_a_request_can_be_given_up_at_every_stage(
    bank: AdapterBank, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """While it waits, while its prompt is read, while it grows, and when it has ended."""
    monkeypatch.setattr(module, "READ", 16)
    monkeypatch.setattr(module, "ALONE", 16)
    scheduler = Stepped(bank.backbone)
    others = [request("reply", 1), request("lora", 3, 30, drafts=2)]
    first = scheduler._submit(bank, others[0])
    left = scheduler._submit(bank, request("wide", 2, 40, min_tokens=8))
    last = scheduler._submit(bank, others[1])
    for _ in range(steps):
        scheduler.step()
    left.cancelled = True
    had = tokens(left.samples)
    scheduler.run()
    assert tokens(left.samples) == had, "nothing more is made of it"
    assert not scheduler._batches
    for job, wanted in zip((first, last), others, strict=True):
        assert tokens(job.samples) == tokens(alone(bank, wanted))


def test_closing_a_stream_stops_the_work(bank: AdapterBank) -> None:
    scheduler = Scheduler(bank.backbone)
    stream = scheduler.stream(bank, request("wide", 1, max_tokens=80, min_tokens=80))
    next(stream)
    stream.close()
    assert list(stream) == []
    wait_for_the_end(scheduler)
    assert scheduler._thread is None


def test_a_reply_that_is_not_there_in_time_is_not_made(bank: AdapterBank) -> None:
    scheduler = Scheduler(bank.backbone)
    late = request("wide", 1, deadline=Deadline(time.monotonic() - 1))
    fine = request("wide", 2, deadline=Deadline(time.monotonic() + 600))
    missed, found = scheduler.attempts(bank, [late, fine])
    assert isinstance(missed, LateError)
    assert not isinstance(found, Exception)
    assert tokens(found) == tokens(alone(bank, fine))
    with pytest.raises(LateError, match="not there in time"):
        list(scheduler.stream(bank, late))
