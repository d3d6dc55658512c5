"""5 · A prompt while it is read, a few tokens at a time, from where it differs from what was read before."""

from __future__ import annotations

import torch
from torch import Tensor

from adapterbot.engine.prefix_cache import PrefixCache
from adapterbot.engine.request import Request
from adapterbot.network.adapters import EVEN
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.backbone import Backbone, pad_right


class Prefill:
    """The prompt of a request and, in the only row of its `cache`, what was read of it.

    Where its adapter acts on replies alone, the prompt goes without it up to where it opens the reply.
    """

    def __init__(
        self,
        backbone: Backbone,
        bank: AdapterBank,
        request: Request,
        prefixes: PrefixCache | None = None,
        room: int = 0,
    ) -> None:
        """The `cache` has room for so many tokens after the prompt."""
        self._backbone = backbone
        self._bank = bank
        self._request = request
        self._prefixes = prefixes
        self._before = bank.on_prompts([request.adapter])[0]
        ids = len(request.ids)
        self._reply = ids if self._before == request.adapter else min(request.reply, ids - 1)
        self._key = None if self._before is None else bank.version(self._before)
        found = prefixes.longest(self._key, request.ids[: min(self._reply, ids - 1)]) if prefixes else None
        layers = bank.layers([request.adapter])
        self.cache = Cache(
            backbone.shape,
            0 if found else 1,
            ids + room,
            device=backbone.device,
            dtype=backbone.dtype,
            layers=layers,
        )
        self.found = 0  # tokens that were read before
        if found:
            kept, self.found = found
            self.cache.add(kept, length=self.found)
        self.logits: Tensor | None = None  # [1, V], on the processor, once all is read

    def read(self, most: int) -> int:
        """Read so many tokens more at most; returns how many it were."""
        ids, start = self._request.ids, self.cache.lengths[0]
        end = min(start + most, self._reply if start < self._reply else len(ids))
        adapter = self._before if end <= self._reply else self._request.adapter
        rows = [[*ids[start:end], *[ids[-1]] * (-(end - start) % EVEN)]]
        there = pad_right(rows, 0).to(self._backbone.device)
        decoder = self._backbone.decoder
        hidden = decoder(there, self._bank.select([adapter]), self.cache, [end - start])
        if end == len(ids):
            self.logits = decoder.logits(hidden[:, end - start - 1]).float().cpu()
            if self._prefixes is not None and bool(self.logits.sum().isfinite()):
                self._prefixes.keep(self._key, ids[: self._reply], self.cache)
        return end - start


@torch.inference_mode()
def whole(backbone: Backbone, bank: AdapterBank, request: Request, room: int) -> tuple[Tensor, Cache]:
    """Logits [1, V] after a prompt, on the processor, and its cache with room for so many tokens more."""
    prefill = Prefill(backbone, bank, request, room=room)
    while prefill.logits is None:
        prefill.read(len(request.ids))
    return prefill.logits, prefill.cache
