"""5 · Sampling replies: greedy, temperature, top-k, nucleus (Holtzman et al. 2020), penalties, stopping, streaming.

Every request carries its own settings and its own random generator, so requests with different skills and settings
share one batch and none can change another's reply. R requests, B rows (one per draft), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from adapterbot.adapters import AdapterBank, Residual
from adapterbot.backbone import Backbone
from adapterbot.copying import CopyHead, Source
from adapterbot.decoder import Cache
from adapterbot.openings import openings
from adapterbot.prompt import Tokenizer
from adapterbot.turn import Decode, Draft, Prompt

HEAD = 256  # a nucleus is nearly always among this many tokens; sorting all is many times slower
ENOUGH = 0.75
COLDEST = 1e-4  # temperatures below are greedy: dividing by them would overflow


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

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        prompt: Prompt,
        adapter: str | None,
        decode: Decode,
        seed: int,
        facts: Iterable[str],
        said: Sequence[str],
    ) -> Request:
        """The request for `prompt`, with the openings that `decode` wants from its `facts`; `said` as in `openings`."""
        texts = openings(facts, said, min(decode.openings, decode.drafts - 1))
        return cls(prompt.ids, adapter, decode, seed, prompt.facts, [tokenizer.encode(text) for text in texts])


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


def _samples(backbone: Backbone, request: Request) -> list[Sample]:
    """One per draft; draft i draws from its own generator, so its text does not depend on how many there are."""
    limit = max(1, min(request.decode.max_tokens, backbone.positions - len(request.ids)))
    free = request.decode.drafts - len(request.openings)
    starts = [*[()] * free, *request.openings]
    return [
        Sample(request, torch.Generator().manual_seed((request.seed + i * 0x9E3779B9) % 2**63), limit, opening=start)
        for i, start in enumerate(starts)
    ]


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


def next_tokens(logits: Tensor, rows: Sequence[Sample], separator: int) -> Tensor:
    """Sample one token per row [B] from logits [B, V] and add it to its sample; done rows get the separator.

    A row with an opening gets that first.
    """
    tokens = torch.full((len(rows),), separator)
    logprobs = torch.log_softmax(logits, -1)
    for b, grown in enumerate(rows):
        if grown.done:
            continue
        if len(grown.ids) < len(grown.opening):
            token = grown.opening[len(grown.ids)]
        else:
            token = _draw(_penalised(logits[b], grown, separator), grown)
            grown.logprob += float(logprobs[b, token])
            grown.steps += 1
        if token == separator:
            grown.finished = True
        else:
            grown.ids.append(token)
            tokens[b] = token
    return tokens


def _penalised(logits: Tensor, grown: Sample, separator: int) -> Tensor:
    """Logits [V] after the penalties, which look at the reply alone, never at the prompt."""
    decode, ids = grown.request.decode, grown.ids
    scores = logits.clone()
    if decode.repetition_penalty > 1 and ids:  # Keskar et al. 2019, section 4.1
        used = torch.tensor(sorted(set(ids)))
        scores[used] = torch.where(
            scores[used] > 0, scores[used] / decode.repetition_penalty, scores[used] * decode.repetition_penalty
        )
    banned = _repeats(ids, decode.no_repeat_ngram)
    if len(ids) < decode.min_tokens:
        banned.append(separator)
    if banned:
        scores[banned] = -torch.inf
    return scores


def _repeats(ids: list[int], n: int) -> list[int]:
    """Tokens that would complete an n-gram which the reply already has."""
    if n <= 0 or len(ids) < n:
        return []
    tail = ids[len(ids) - n + 1 :]
    return [ids[i + n - 1] for i in range(len(ids) - n + 1) if ids[i : i + n - 1] == tail]


def _draw(scores: Tensor, grown: Sample) -> int:
    """One token id from scores [V] by the request's temperature, top-k and top-p."""
    decode = grown.request.decode
    if decode.temperature < COLDEST:
        return int(scores.argmax())
    probabilities, index = _likeliest(torch.softmax(scores / decode.temperature, -1), decode)
    before = torch.cumsum(probabilities, -1) - probabilities  # mass of all likelier tokens
    probabilities = torch.where(before < decode.top_p, probabilities, 0.0)  # the likeliest always stays
    cumulative = torch.cumsum(probabilities, -1)
    point = torch.rand(1, generator=grown.generator) * cumulative[-1]
    last = int((probabilities > 0).sum()) - 1  # rounding may put the point at the very end
    return int(index[int(torch.searchsorted(cumulative, point, right=True).clamp(max=last))])


def _likeliest(probabilities: Tensor, decode: Decode) -> tuple[Tensor, Tensor]:
    """Probabilities [k] , descending, and their tokens [k]: the top k, renormalised, or enough for the nucleus."""
    if 0 < decode.top_k < len(probabilities):
        kept, index = probabilities.topk(decode.top_k)
        return kept / kept.sum(), index
    kept, index = probabilities.topk(min(HEAD, len(probabilities)))
    if float(kept.sum()) > decode.top_p:  # the nucleus is inside: no need to sort the whole vocabulary
        return kept, index
    return probabilities.sort(descending=True)
