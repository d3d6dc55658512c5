"""5 · Keys and values of prompts, kept between turns: what was said is read once, for all skills and drafts.

Every turn's prompt begins as the one before it, so that only what is new has to be read, however long the conversation
is. What no adapter has touched is the same for every skill (`on = "reply"`); what one has is found by an adapter of the
very same weights alone, so that a new version never meets what the former one has read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapterbot.network.architectures.cache import Cache

MEMORY = 256 * 2**20  # bytes: of SmolLM2-135M 5,800 tokens, some twenty conversations
LEAST = 8  # tokens that are worth it: all prompts begin alike
Key = tuple[str, ...] | None  # the adapters that have read the tokens (AdapterBank.version); None: the bare backbone


@dataclass(frozen=True, slots=True)
class _Kept:
    """The tokens of a prompt, and a cache whose only row begins with them."""

    key: Key
    ids: NDArray[np.int64]
    cache: Cache


class PrefixCache:
    """The prompts that were read last, within so many bytes: who was not asked for longest goes first.

    The model's thread alone uses it.
    """

    def __init__(self, most: int = MEMORY) -> None:
        self.most = most
        self._kept: list[_Kept] = []  # the one that was used last stands last

    @property
    def nbytes(self) -> int:
        """Bytes of memory that are kept."""
        return sum(kept.cache.memory.nbytes for kept in self._kept)

    def longest(self, key: Key, ids: Sequence[int]) -> tuple[Cache, int] | None:
        """The cache that has most of the first `ids`, and how many of them; None where it is hardly any."""
        wanted = np.asarray(ids)
        shared = [_shared(kept.ids, wanted) if kept.key == key else 0 for kept in self._kept]
        if max(shared, default=0) < LEAST:
            return None
        best = max(range(len(shared)), key=shared.__getitem__)
        kept = self._kept.pop(best)
        self._kept.append(kept)
        return kept.cache, shared[best]

    def keep(self, key: Key, ids: Sequence[int], cache: Cache) -> None:
        """Keep what was read of a prompt; the cache, whose only row begins with it, is not to be changed any more."""
        new = _Kept(key, np.asarray(ids), cache)
        if not len(new.ids) or cache.memory.nbytes > self.most:
            return
        begun = [kept for kept in self._kept if kept.key == key and _shared(kept.ids, new.ids) == len(kept.ids)]
        self._kept = [*(kept for kept in self._kept if not any(kept is one for one in begun)), new]
        while self.nbytes > self.most:
            self._kept.pop(0)

    def clear(self) -> None:
        """Forget all of it."""
        self._kept.clear()


def _shared(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> int:
    """With how many of the same tokens both begin."""
    most = min(len(ours), len(theirs))
    differs = np.flatnonzero(ours[:most] != theirs[:most])
    return int(differs[0]) if len(differs) else most
