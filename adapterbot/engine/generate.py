"""5 · Sampling replies: greedy, temperature, top-k, nucleus (Holtzman et al. 2020), penalties, stopping, streaming.

Every request carries its own settings and its own random generator, so requests with different skills and settings
share one batch and none can change another's reply. R requests, B rows (one per draft), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from adapterbot.engine.request import Request, Sample, _samples
from adapterbot.engine.sampling import next_tokens
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.copy_head import CopyHead, Source
from adapterbot.network.adapters.residual import Residual
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.backbone import Backbone
from adapterbot.turn import Draft

ENOUGH = 0.75


def sample(backbone: Backbone, bank: AdapterBank, requests: Sequence[Request]) -> Iterator[list[list[Sample]]]:
    """Grow the drafts of all requests together; yields them (per request) after every token, always the same objects.

    The prompt is computed once per request and shared by its drafts. Closing the iterator stops the work.
    """
    samples = [_samples(backbone, request) for request in requests]
    rows = [s for drafts in samples for s in drafts]  # B
    owner = torch.tensor([i for i, drafts in enumerate(samples) for _ in drafts])
    with torch.inference_mode():
        logits, cache, source = _prefill(backbone, bank, requests, max(s.limit for s in rows))
        logits, cache, source = logits[owner], cache.select(owner), source.select(owner) if source else None
        adapters = bank.select([s.request.adapter for s in rows])
    while True:
        with torch.inference_mode():
            tokens = next_tokens(logits, rows, backbone.tokenizer.separator)
        for drafts in samples:
            _drop_stragglers(drafts)
        yield samples
        if all(s.done for s in rows):
            return
        with torch.inference_mode():
            hidden = backbone.decoder(tokens[:, None], adapters, cache)
            logits = _logits(backbone, adapters, hidden, tokens[:, None], source)


def generate(backbone: Backbone, bank: AdapterBank, requests: Sequence[Request]) -> list[list[Draft]]:
    """All drafts of all requests, in order."""
    *_, samples = sample(backbone, bank, requests)
    return [[draft(backbone, s) for s in drafts] for drafts in samples]


def draft(backbone: Backbone, grown: Sample) -> Draft:
    """A finished sample as a Draft."""
    text = backbone.tokenizer.decode(grown.ids).strip()
    return Draft(text, grown.logprob / max(grown.steps, 1), len(grown.ids), grown.finished)


def pieces(backbone: Backbone, grown: Sample, shown: str) -> str:
    """What can be shown of a growing sample beyond `shown`; incomplete characters and a space at the end wait."""
    end = len(grown.ids)
    while not grown.done and end and backbone.tokenizer.is_byte(grown.ids[end - 1]):
        end -= 1
    text = backbone.tokenizer.decode(grown.ids[:end]).strip()
    if not grown.done:
        text = text.rstrip("\ufffd").rstrip()
    return text[len(shown) :] if text.startswith(shown) else ""


def _drop_stragglers(drafts: Sequence[Sample]) -> None:
    """End the last drafts of a request once ENOUGH of them have finished: the slowest would cost half of the time."""
    if len(drafts) > 1 and sum(s.finished for s in drafts) >= ENOUGH * len(drafts):
        for straggler in drafts:
            straggler.limit = min(straggler.limit, len(straggler.ids))


def _prefill(
    backbone: Backbone, bank: AdapterBank, requests: Sequence[Request], new: int
) -> tuple[Tensor, Cache, Source | None]:
    """Logits [R, V] after each prompt, the cache of all prompts, padded at the left, and what can be copied."""
    width = max(len(r.ids) for r in requests)
    pad = torch.tensor([width - len(r.ids) for r in requests])
    ids = torch.full((len(requests), width), backbone.tokenizer.separator)
    for row, request in enumerate(requests):
        ids[row, int(pad[row]) :] = torch.tensor(request.ids)
    cache = Cache(backbone.shape, len(requests), width + new, pad)
    adapters = bank.select([r.adapter for r in requests])
    hidden = backbone.decoder(ids, adapters, cache)
    source = _source(backbone, adapters.copy, requests, ids, hidden, pad) if adapters and adapters.copy else None
    return _logits(backbone, adapters, hidden[:, -1:], ids[:, -1:], source), cache, source


def _source(
    backbone: Backbone, head: CopyHead, requests: Sequence[Request], ids: Tensor, hidden: Tensor, pad: Tensor
) -> Source | None:
    """The facts' part of the prompts ids [R, T] with their hidden states [R, T, d]; None when there is none."""
    lengths = [r.facts for r in requests]
    if not max(lengths):
        return None
    place = (pad[:, None] + torch.arange(max(lengths))).clamp(max=ids.shape[1] - 1)  # [R, F]
    states, said = hidden.gather(1, place[..., None].expand(-1, -1, hidden.shape[-1])), ids.gather(1, place)
    return head.read(states, backbone.decoder.wte(said), said, backbone.capitals[said], lengths)


def _logits(
    backbone: Backbone, adapters: Residual | None, hidden: Tensor, ids: Tensor, source: Source | None
) -> Tensor:
    """Scores [B, V] of the token after ids [B, 1] with the final states hidden [B, 1, d]."""
    logits = backbone.decoder.logits(hidden)  # [B, 1, V]
    if adapters and adapters.copy and source:
        plain, capital = adapters.copy.attend(hidden, backbone.decoder.wte(ids), source)
        logits = adapters.copy.mixed(logits, plain, capital, source)
    return logits[:, -1]
