"""What is asked of the engine, and a draft while it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from adapterbot.network.backbone import Backbone
from adapterbot.turn import Decode


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to answer. `adapter` is a row of the bank by name, None for the bare backbone.

    The last drafts begin with `openings`, one each; the first draft is always free.
    """

    ids: Sequence[int]
    adapter: str | None
    decode: Decode
    seed: int
    facts: int = 0  # so many of the first ids are those of the facts
    openings: Sequence[Sequence[int]] = ()


@dataclass(slots=True)
class Sample:
    """One draft while it grows: `ids` without the separator, `logprob` summed over what was sampled, `steps` tokens."""

    request: Request
    generator: torch.Generator
    limit: int
    ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    steps: int = 0
    finished: bool = False
    opening: Sequence[int] = ()

    @property
    def done(self) -> bool:
        """Whether nothing more will be added."""
        return self.finished or len(self.ids) >= self.limit


def _samples(backbone: Backbone, request: Request) -> list[Sample]:
    """One per draft; draft i draws from its own generator, so its text does not depend on how many there are."""
    limit = max(1, min(request.decode.max_tokens, backbone.positions - len(request.ids)))
    free = request.decode.drafts - len(request.openings)
    starts = [*[()] * free, *request.openings]
    return [
        Sample(request, torch.Generator().manual_seed((request.seed + i * 0x9E3779B9) % 2**63), limit, opening=start)
        for i, start in enumerate(starts)
    ]
