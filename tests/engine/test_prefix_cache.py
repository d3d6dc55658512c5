"""What was read of a conversation is not read again, and never what another adapter has read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from drafts import mixed_bank, random_file
from torch import Tensor

from adapterbot.engine.prefix_cache import LEAST, PrefixCache
from adapterbot.engine.request import Request, Sample
from adapterbot.engine.scheduler import Scheduler
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.backbone import Backbone
from adapterbot.spec.tables import AdapterTable
from adapterbot.turn import Decode

PLAIN = Decode(temperature=0.8, top_p=0.95, max_tokens=6)
SAID = tuple(range(300, 340))


@pytest.fixture(scope="module")
def bank(tiny: Backbone) -> AdapterBank:
    return mixed_bank(tiny)


@pytest.fixture
def read(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each pass over a prompt had."""
    passes = list[int]()
    forward = type(tiny.decoder).forward

    def counted(decoder: Any, ids: Tensor, adapters: Any = None, cache: Any = None, lengths: Any = None) -> Tensor:
        if lengths is not None:
            passes.append(lengths[0])
        return forward(decoder, ids, adapters, cache, lengths)

    monkeypatch.setattr(type(tiny.decoder), "forward", counted)
    return passes


def turn(
    said: tuple[int, ...], skill: str | None = "reply", seed: int = 0, opening: int = 3, drafts: int = 1
) -> Request:
    """A prompt whose last tokens open the reply."""
    ids = (*said, *range(50, 50 + opening))
    return Request(ids, skill, replace(PLAIN, drafts=drafts), seed, reply=len(said))


def tokens(samples: list[Sample]) -> list[list[int]]:
    return [sample.ids for sample in samples]


def alone(bank: AdapterBank, wanted: Request) -> list[list[int]]:
    return tokens(Scheduler(bank.backbone).grow(bank, [wanted])[0])


def test_the_second_turn_reads_what_is_new(bank: AdapterBank, read: list[int]) -> None:
    scheduler = Scheduler(bank.backbone)
    scheduler.grow(bank, [turn(SAID)])
    assert sum(read) == 43
    read.clear()
    second = turn((*SAID, *range(400, 410)), seed=1, drafts=4)
    found = tokens(scheduler.grow(bank, [second])[0])
    assert sum(read) == 10 + 3, "once for all drafts"
    assert found == alone(bank, second)


@pytest.mark.parametrize("skill", ["upper", None, "reply+upper"])
def test_another_skill_reads_no_more(bank: AdapterBank, read: list[int], skill: str | None) -> None:
    """What acts on replies alone has not touched what was said."""
    scheduler = Scheduler(bank.backbone)
    scheduler.grow(bank, [turn(SAID)])
    read.clear()
    other = turn(SAID, skill, seed=1)
    found = tokens(scheduler.grow(bank, [other])[0])
    assert sum(read) in (3, 4), "what opens the reply, or one token before it"
    assert found == alone(bank, other)


def test_a_prompt_that_an_adapter_has_read_is_its_own(bank: AdapterBank, read: list[int]) -> None:
    scheduler = Scheduler(bank.backbone)
    scheduler.grow(bank, [turn(SAID, "wide"), turn(SAID)])
    for skill, wanted in (("wide", 1), ("lora", 43), ("reply", 3), ("wide+reply", 3), ("0.5*wide", 43)):
        read.clear()
        one = turn(SAID, skill, seed=2)
        found = tokens(scheduler.grow(bank, [one])[0])
        assert sum(read) == wanted, skill
        assert found == alone(bank, one)


def test_an_adapter_that_was_loaded_anew_meets_nothing_of_the_former(tiny: Backbone, bank: AdapterBank) -> None:
    scheduler = Scheduler(tiny)
    wanted = turn(SAID, "wide")
    before = tokens(scheduler.grow(bank, [wanted])[0])
    renewed = bank.with_adapter("wide", random_file(tiny, AdapterTable(bottleneck=12), seed=99))
    after = tokens(scheduler.grow(renewed, [wanted])[0])
    assert after == alone(renewed, wanted) != before
    assert tokens(scheduler.grow(bank, [wanted])[0]) == before, "who holds the former one goes on with it"


def test_both_banks_answer_at_the_same_time(tiny: Backbone, bank: AdapterBank) -> None:
    renewed = bank.with_adapter("wide", random_file(tiny, AdapterTable(bottleneck=12), seed=99))
    scheduler = Scheduler(tiny)
    streams = [scheduler.stream(one, turn(SAID, "wide", i)) for i in range(3) for one in (bank, renewed)]
    for stream in streams:
        next(stream)
    for i, stream in enumerate(streams):
        *_, last = stream
        assert tokens(last) == alone((bank, renewed)[i % 2], turn(SAID, "wide", i // 2))


def test_a_window_that_moves_on_is_read_anew(bank: AdapterBank, read: list[int]) -> None:
    scheduler = Scheduler(bank.backbone)
    scheduler.grow(bank, [turn(SAID)])
    read.clear()
    moved = turn(SAID[5:])
    assert tokens(scheduler.grow(bank, [moved])[0]) == alone(bank, moved)
    assert sum(read) == 38 + 38


def cache_of(backbone: Backbone, length: int) -> Cache:
    cache = Cache(backbone.shape, 1, length)
    with torch.inference_mode():
        backbone.decoder(torch.full((1, length), 7), None, cache, [length])
    return cache


def test_who_was_not_asked_for_longest_goes_first(tiny: Backbone) -> None:
    one = cache_of(tiny, 40).memory.nbytes
    prefixes = PrefixCache(3 * one)
    talks = [tuple(range(start, start + 40)) for start in range(100, 900, 200)]
    for ids in talks[:3]:
        prefixes.keep(None, ids, cache_of(tiny, 40))
    assert prefixes.nbytes == 3 * one
    assert prefixes.longest(None, talks[0]) is not None
    prefixes.keep(None, talks[3], cache_of(tiny, 40))
    assert prefixes.nbytes == 3 * one
    assert [prefixes.longest(None, ids) is not None for ids in talks] == [True, False, True, True]


def test_a_longer_prompt_takes_the_place_of_its_beginning(tiny: Backbone) -> None:
    prefixes = PrefixCache()
    prefixes.keep(None, SAID[:20], cache_of(tiny, 20))
    prefixes.keep(("1", "a"), SAID[:20], cache_of(tiny, 20))
    prefixes.keep(None, SAID, cache_of(tiny, 40))
    assert prefixes.nbytes == 2 * cache_of(tiny, 40).memory.nbytes
    found = prefixes.longest(None, (*SAID[:30], 1, 2, 3))
    assert found is not None
    assert found[1] == 30
    assert prefixes.longest(("2", "a"), SAID) is None
    prefixes.clear()
    assert prefixes.nbytes == 0


def test_what_is_too_large_or_hardly_shared_is_left(tiny: Backbone) -> None:
    small = PrefixCache(10)
    small.keep(None, SAID, cache_of(tiny, 40))
    assert small.nbytes == 0
    prefixes = PrefixCache()
    prefixes.keep(None, SAID, cache_of(tiny, 40))
    assert prefixes.longest(None, (*SAID[: LEAST - 1], 1)) is None
    assert prefixes.longest(None, ()) is None
