"""2 · The loop that a head over the encoder is fitted by."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Row = TypeVar("Row")
Told = Callable[[int, int, float], None]  # of a training: steps done, steps in all, loss


def in_batches(rows: Iterable[Row], length: Callable[[Row], int], size: int, seed: Any) -> list[list[Row]]:
    """The rows in batches of `size`, those of like length together, the batches in random order."""
    ordered = sorted(rows, key=length)
    batches = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    random.Random(seed).shuffle(batches)
    return batches


def fit(
    model: nn.Module,
    batches: Iterable[Sequence[Row]],
    loss_of: Callable[[Sequence[Row]], Tensor],
    *,
    steps: int,
    rate: float,
    told: Told = lambda done, total, loss: None,
) -> None:
    """One step of AdamW for each batch, the rate going up to `rate` over a tenth of the `steps` and down again."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps + 1, pct_start=0.1)
    for done, batch in enumerate(batches, 1):
        loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        told(done, steps, float(loss.detach()))
