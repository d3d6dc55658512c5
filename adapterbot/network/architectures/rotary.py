"""Positions as rotations (Su et al. 2021). B rows, T tokens, H heads, w width of a head."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from adapterbot.network.architectures.shape import Rope


class Turn(NamedTuple):
    """By what the heads of B rows of T tokens are turned; the second half of a head is the partner of its first."""

    cosines: Tensor  # [B, T, 1, w]
    sines: Tensor  # [B, T, 1, w]; those of the first half are negative

    def of(self, x: Tensor) -> Tensor:
        """Heads [B, T, H, w] turned to where their tokens stand."""
        swapped = torch.cat(x.chunk(2, -1)[::-1], -1)
        return torch.addcmul(x * self.cosines, swapped, self.sines)


def turn_at(positions: Tensor, rope: Rope, width: int, dtype: torch.dtype) -> Turn:
    """How heads of this width are turned at positions [B, T]; angles are float32 whatever `dtype` is."""
    angles = positions[..., None, None].float() * frequencies(rope, width, positions.device)  # [B, T, 1, w / 2]
    cosines, sines = angles.cos(), angles.sin()
    return Turn(torch.cat([cosines, cosines], -1).to(dtype), torch.cat([-sines, sines], -1).to(dtype))


def frequencies(rope: Rope, width: int, device: torch.device | None = None) -> Tensor:
    """Radians per position of each pair of a head's numbers [w / 2], float32."""
    plain = 1.0 / rope.theta ** (torch.arange(0, width, 2, device=device).float() / width)
    if rope.scaling == "none":
        return plain
    slow = plain / rope.factor
    if rope.scaling == "linear":
        return slow
    turns = rope.original * plain / (2 * math.pi)
    kept = ((turns - rope.low) / (rope.high - rope.low)).clamp(0, 1)
    return (1 - kept) * slow + kept * plain
