"""Batches and learning rates."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

VALIDATION_REPLIES = 200  # scored after every epoch to choose the best weights
CLIP = 1.0
FEWEST_STEPS = 8  # an epoch has at least so many updates: batches of a small corpus are made smaller
POOL = 64  # batches whose rows are sorted by length together


def learning_rate(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate: linear warm-up over a share of the steps, then linear decay towards zero."""
    rising = max(1, round(warmup * steps))
    return min((step + 1) / rising, max(0.02, (steps - step) / max(1, steps - rising)))


class Tokens(Protocol):
    """A row of tokens."""

    @property
    def ids(self) -> Sequence[int]: ...


Row = TypeVar("Row", bound=Tokens)


def batches(rows: Sequence[Row], size: int, seed: str, skip: int = 0) -> Iterator[list[Row]]:
    """Batches of rows of like length in random order; the same for the same seed. `skip` leaves out the first ones."""
    draw = random.Random(seed)
    order = draw.sample(range(len(rows)), len(rows))
    grouped: list[list[int]] = []
    for start in range(0, len(order), size * POOL):
        pool = sorted(order[start : start + size * POOL], key=lambda i: len(rows[i].ids))
        grouped += [pool[i : i + size] for i in range(0, len(pool), size)]
    draw.shuffle(grouped)
    for chosen in grouped[skip:]:
        yield [rows[i] for i in chosen]
