"""Many skills and many people at once, and long conversations: ours beside ours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

from adapterbot.cli.bench import work
from adapterbot.cli.bench.results import Row
from adapterbot.cli.bench.setting import Setting, alternate
from adapterbot.engine.request import Request
from adapterbot.evaluation import speed
from adapterbot.network.adapters.bank import AdapterBank


def skills(setting: Setting) -> Iterator[Row]:
    """A batch of different skills beside one of a single skill."""
    sizes = setting.sizes
    bank = work.bank_of(setting.backbone, work.MANY)
    different, same = f"{work.MANY} different skills", "one skill"
    with setting.on(setting.few):
        contenders = {
            different: lambda n: speed.decode_rate(bank, work.mixed(work.MANY), sizes.begun, n),
            same: lambda n: speed.decode_rate(bank, work.mixed(1), sizes.begun, n),
        }
        found = alternate(setting, "skills", contenders, sizes.tokens, repeats=sizes.repeats, warm=2)
    yield found.row("skills", f"batch of {work.MANY}, {different}", "tokens/s", different, same, at_least=0.95)


def requests(setting: Setting) -> Iterator[Row]:
    """Requests at once beside the same ones, one after the other."""
    sizes = setting.sizes
    bank = work.bank_of(setting.backbone, work.MANY)
    wanted = some_requests(bank, sizes.requests, sizes.begun, sizes.tokens // 2)
    together, apart = "at once", "one after the other"
    with setting.on(setting.few):
        contenders = {
            together: lambda n: request_rate(bank, [wanted[:n]]),
            apart: lambda n: request_rate(bank, [[one] for one in wanted[:n]]),
        }
        repeats = min(sizes.repeats, 3)
        found = alternate(setting, "requests", contenders, sizes.requests, repeats=repeats, warm=2)
    yield found.row("requests", f"{sizes.requests} requests at once", "tokens/s", together, apart, at_least=4)


def turns(setting: Setting) -> Iterator[Row]:
    """The first token of a turn after a long conversation, and after one in which another skill answered."""
    sizes = setting.sizes
    bank = work.bank_of(setting.backbone, 2)
    with setting.on(setting.few):
        for name, long, short, most in (
            (f"first token after {sizes.turns} turns", (sizes.turns, 0), (1, 0), 1.15),
            (f"first token of another skill after {sizes.turns} turns", (sizes.turns, 1), (sizes.turns, 0), 1.3),
        ):
            there = "after 1 turn" if short[0] == 1 else "by the same skill"
            contenders = {
                "adapterbot": partial(_milliseconds, bank, *long),
                there: partial(_milliseconds, bank, *short),
            }
            found = alternate(setting, name, contenders, sizes.turn, repeats=sizes.repeats)
            yield found.row("turns", name, "ms", *contenders, at_most=most)


def _milliseconds(bank: AdapterBank, turns: int, adapter: int, turn: int) -> float:
    return 1000 * first_token(bank, turns, adapter, turn)


def some_requests(bank: AdapterBank, count: int, prompt: int, tokens: int) -> list[Request]:
    """Of all skills in turn, and of different lengths."""
    adapters = work.mixed(len(bank.rows), count)
    return [speed.request(bank.backbone, row, name, prompt + row % 5, tokens) for row, name in enumerate(adapters)]


def request_rate(bank: AdapterBank, groups: Sequence[Sequence[Request]]) -> float:
    """Tokens a second, prompts read meanwhile, of groups of requests one after the other."""
    scheduler = work.scheduler_of(bank.backbone)
    made = 0
    started = time.perf_counter()
    for group in groups:
        made += sum(len(draft.ids) for drafts in scheduler.grow(bank, group) for draft in drafts)
    return made / (time.perf_counter() - started)


def first_token(bank: AdapterBank, turns: int, adapter: int, turn: int) -> float:
    """Seconds to the first token after so many turns, which the first skill has answered."""
    scheduler = work.scheduler_of(bank.backbone, keeps=True)
    backbone = bank.backbone
    scheduler.grow(bank, [speed.request(backbone, 0, work.skill(0), turns * turn, 1)])
    wanted = speed.request(backbone, 0, work.skill(adapter), (turns + 1) * turn, 1)
    started = time.perf_counter()
    scheduler.grow(bank, [wanted])
    return time.perf_counter() - started
