"""What is asked of the engine, and a draft while it grows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from adapterbot.errors import LateError
from adapterbot.network.backbone import Backbone
from adapterbot.turn import Decode

ENOUGH = 0.75  # of the drafts
LATE = "the reply was not there in time; try again later"


class Deadline:
    """By when a reply has to be there, as a time of `time.monotonic()`; whoever waits for it may leave earlier."""

    __slots__ = ("at",)

    def __init__(self, at: float = math.inf) -> None:
        """Never, unless a time is given."""
        self.at = at

    @classmethod
    def of(cls, given: Deadline | float | None) -> Deadline:
        """`given` itself, one at that time, or, for None, never."""
        if isinstance(given, Deadline):
            return given
        return cls() if given is None else cls(given)

    def leave(self) -> None:
        """Nobody waits any more: the work ends at its next token. Safe to call from any thread."""
        self.at = -math.inf

    def check(self) -> None:
        """Raises LateError where it has passed."""
        if time.monotonic() >= self.at:
            raise LateError(LATE)


@dataclass(slots=True)
class Reading:
    """What the engine notes of a prompt when it begins to read it: how many of its tokens it had read before."""

    cached: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to answer. `adapter` is a row of the bank by name, None for the bare backbone.

    All drafts begin with the tokens `start`.
    """

    ids: Sequence[int]
    adapter: str | None
    decode: Decode
    seed: int
    reply: int = 0  # the ids from here on are the reply's: adapters of replies act on them
    start: Sequence[int] = ()
    agree: int = 0  # after so many tokens all drafts go on from one beginning (see `agreement`); 0: never
    prefer: Callable[[Sequence[Sample]], Sequence[float]] | None = None  # how good drafts are so far; None: how likely
    deadline: Deadline = field(default_factory=Deadline, compare=False)  # what is not there then is not made any more
    reading: Reading = field(default_factory=Reading, compare=False)  # written by the model's thread alone


@dataclass(slots=True)
class Sample:
    """One draft while it grows: `ids` without the separator, `logprob` summed over what was sampled, `steps` tokens.

    Its first `agreed` tokens are those of all drafts of its request.
    """

    request: Request
    generator: torch.Generator
    limit: int
    ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    steps: int = 0
    finished: bool = False
    agreed: int = 0

    def go_on_from(self, other: Sample) -> None:
        """Take over what `other` has so far; what follows is drawn by the own generator."""
        self.ids = list(other.ids)
        self.logprob = other.logprob
        self.steps = other.steps
        self.finished = other.finished

    @property
    def done(self) -> bool:
        """Whether nothing more will be added."""
        return self.finished or len(self.ids) >= self.limit


def samples_of(backbone: Backbone, request: Request) -> list[Sample]:
    """One per draft; draft i draws from its own generator, so its text does not depend on how many there are."""
    limit = max(1, min(request.decode.max_tokens, backbone.positions - len(request.ids)))
    return [
        Sample(request, torch.Generator().manual_seed((request.seed + i * 0x9E3779B9) % 2**63), limit)
        for i in range(request.decode.drafts)
    ]


def agreement(drafts: Sequence[Sample]) -> int | None:
    """The number of the draft whose beginning the others of its request take over now; None for no agreement.

    It is the best of those that go on, by what `Request.prefer` says of them. There is none where half of the drafts
    have ended already.
    """
    request = drafts[0].request
    going = [i for i, draft in enumerate(drafts) if not draft.done and len(draft.ids) == request.agree]
    if len(drafts) < 2 or 2 * len(going) <= len(drafts):
        return None
    prefer = request.prefer or (lambda begun: [draft.logprob for draft in begun])
    scores = prefer([drafts[i] for i in going])
    return max(zip(going, scores, strict=True), key=lambda pair: pair[1])[0]


def drop_stragglers(drafts: Sequence[Sample]) -> None:
    """End the last drafts of a request once ENOUGH of them have finished: the slowest would cost half of the time."""
    if len(drafts) > 1 and sum(s.finished for s in drafts) >= ENOUGH * len(drafts):
        for straggler in drafts:
            straggler.limit = min(straggler.limit, len(straggler.ids))
