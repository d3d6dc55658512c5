"""How cost grows: with skills that are loaded, with skills in a batch, with requests at once, with the history."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from adapterbot.cli.bench import work
from adapterbot.cli.bench.engine import first_token, request_rate, some_requests
from adapterbot.cli.bench.results import Series
from adapterbot.cli.bench.setting import Setting
from adapterbot.evaluation import speed

BATCH = 32  # rows of a batch of many skills


def measures(setting: Setting) -> Iterator[Series]:
    """Each series point by point, so that what was measured stays."""
    with setting.on(setting.few):
        yield from _of_skills(setting)
        yield from _of_requests(setting)


def _of_skills(setting: Setting) -> Iterator[Series]:
    sizes, backbone = setting.sizes, setting.backbone

    def loaded(count: int) -> float:
        bank = work.bank_of(backbone, count)
        return speed.decode_rate(bank, work.mixed(min(count, work.MANY)), sizes.begun, sizes.tokens)

    yield from _series(setting, "skills loaded, a batch of 8", "skills", "tokens/s", sizes.skills, loaded)
    bank = work.bank_of(backbone, max(sizes.mixed))

    def mixed(count: int) -> float:
        return speed.decode_rate(bank, work.mixed(count, BATCH), sizes.begun, max(1, sizes.tokens // 2))

    yield from _series(setting, f"skills in a batch of {BATCH}", "skills", "tokens/s", sizes.mixed, mixed)


def _of_requests(setting: Setting) -> Iterator[Series]:
    sizes = setting.sizes
    bank = work.bank_of(setting.backbone, work.MANY)

    def at_once(count: int) -> float:
        return request_rate(bank, [some_requests(bank, count, sizes.begun, sizes.tokens)])

    yield from _series(setting, "requests at once", "requests", "tokens/s", sizes.at_once, at_once)

    def after(turns: int) -> float:
        return 1000 * first_token(bank, turns, 0, sizes.turn)

    yield from _series(setting, "first token after turns", "turns", "ms", sizes.histories, after)


def _series(
    setting: Setting, name: str, along: str, unit: str, points: Sequence[int], measure: Callable[[int], float]
) -> Iterator[Series]:
    """What it is at each of the points, the median of some times."""
    x, y = list[int](), list[float]()
    measure(points[0])  # what is done once
    for point in points:
        setting.announce(f"{name}: {point}")
        x.append(point)
        y.append(statistics.median(measure(point) for _ in range(min(setting.sizes.repeats, 3))))
        yield Series("growth", name, along, unit, tuple(x), tuple(y))
