"""5 · Sampling replies: greedy, temperature, top-k, nucleus (Holtzman et al. 2020), penalties, stopping, streaming.

Every request carries its own settings and its own random generator, so requests with different skills and settings
share one batch and none can change another's reply. R requests, B rows (one per draft), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from adapterbot.engine.request import Request, Sample, _samples, agreement
from adapterbot.engine.sampling import next_tokens
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.backbone import Backbone, pad_right
from adapterbot.turn import Draft

ENOUGH = 0.75


def sample(backbone: Backbone, bank: AdapterBank, requests: Sequence[Request]) -> Iterator[list[list[Sample]]]:
    """Grow the drafts of all requests together; yields them (per request) after every token, always the same objects.

    The prompt is computed once per request and shared by its drafts. Closing the iterator stops the work.
    """
    samples = [_samples(backbone, request) for request in requests]
    rows = [s for drafts in samples for s in drafts]  # B
    owners = [i for i, drafts in enumerate(samples) for _ in drafts]
    with torch.inference_mode():
        logits, prompts = prefill(backbone, bank, requests)
        cache = prompts.fork(owners, max(s.limit for s in rows))
        logits = logits[torch.tensor(owners)]
        adapters = bank.select([s.request.adapter for s in rows])
        del prompts
    step = 0
    while True:
        with torch.inference_mode():
            tokens = next_tokens(logits, rows, backbone.tokenizer.separator)
            step += 1
            if any(request.agree == step for request in requests):
                index = _agreed(samples, step)
                tokens = tokens[torch.tensor(index)]
                cache.reorder(index)
        for drafts in samples:
            _drop_stragglers(drafts)
        yield samples
        if all(s.done for s in rows):
            return
        with torch.inference_mode():
            hidden = backbone.decoder(tokens[:, None].to(backbone.device), adapters, cache)
            logits = backbone.decoder.logits(hidden[:, -1]).cpu()


def grow(backbone: Backbone, bank: AdapterBank, requests: Sequence[Request]) -> list[list[Sample]]:
    """All drafts of all requests, in order, grown to their ends."""
    *_, samples = sample(backbone, bank, requests)
    return samples


def draft(backbone: Backbone, grown: Sample) -> Draft:
    """A finished sample as a Draft."""
    text = backbone.tokenizer.decode(grown.ids).strip()
    return Draft(text, grown.logprob / max(grown.steps, 1), len(grown.ids), grown.finished)


def agreed_text(backbone: Backbone, drafts: Sequence[Sample]) -> str:
    """What all drafts of a request begin with, since they agreed; the last word may go on, half a character waits."""
    first = drafts[0]
    return backbone.tokenizer.decode(first.ids[: first.agreed]).strip().rstrip("\ufffd").rstrip()


def pieces(backbone: Backbone, grown: Sample, shown: str) -> str:
    """What can be shown of a growing sample beyond `shown`; incomplete characters and a space at the end wait."""
    end = len(grown.ids)
    while not grown.done and end and backbone.tokenizer.is_byte(grown.ids[end - 1]):
        end -= 1
    text = backbone.tokenizer.decode(grown.ids[:end]).strip()
    if not grown.done:
        text = text.rstrip("\ufffd").rstrip()
    return text[len(shown) :] if text.startswith(shown) else ""


def _agreed(samples: Sequence[Sequence[Sample]], step: int) -> list[int]:
    """The row that each of the B rows goes on from, after the drafts of the requests that agree now have agreed."""
    index = list[int]()
    for drafts in samples:
        start = len(index)
        leader = agreement(drafts) if drafts[0].request.agree == step else None
        for i, draft in enumerate(drafts):
            index.append(start + i if leader is None else start + leader)
            if leader is not None:
                draft.go_on_from(drafts[leader])
                draft.agreed = step
    return index


def _drop_stragglers(drafts: Sequence[Sample]) -> None:
    """End the last drafts of a request once ENOUGH of them have finished: the slowest would cost half of the time."""
    if len(drafts) > 1 and sum(s.finished for s in drafts) >= ENOUGH * len(drafts):
        for straggler in drafts:
            straggler.limit = min(straggler.limit, len(straggler.ids))


def prefill(backbone: Backbone, bank: AdapterBank, requests: Sequence[Request]) -> tuple[Tensor, Cache]:
    """Logits [R, V] after each prompt, on the processor, and the cache of all prompts.

    Where a row's adapter acts on replies alone, the prompts go without it up to where they open the reply.
    """
    skills = [request.adapter for request in requests]
    on_prompts = bank.on_prompts(skills)
    most = max(len(request.ids) for request in requests)
    layers = bank.layers(skills)
    cache = Cache(backbone.shape, len(requests), most, device=backbone.device, dtype=backbone.dtype, layers=layers)
    starts = [0 if on_prompts == skills else request.reply for request in requests]
    if any(starts):
        ids, lengths = _padded(backbone, [request.ids[:start] for request, start in zip(requests, starts, strict=True)])
        backbone.decoder(ids, bank.select(on_prompts), cache, lengths)
    ids, lengths = _padded(backbone, [request.ids[start:] for request, start in zip(requests, starts, strict=True)])
    hidden = backbone.decoder(ids, bank.select(skills), cache, lengths)
    last = torch.tensor(lengths, device=backbone.device)[:, None, None] - 1  # [R, 1, 1]
    hidden = hidden.gather(1, last.expand(-1, -1, hidden.shape[-1]))
    return backbone.decoder.logits(hidden[:, -1]).cpu(), cache


def _padded(backbone: Backbone, rows: Sequence[Sequence[int]]) -> tuple[Tensor, list[int]]:
    """ids [R, T] where the backbone is, and how many of each row are real."""
    return pad_right(rows, backbone.tokenizer.separator).to(backbone.device), [len(row) for row in rows]
