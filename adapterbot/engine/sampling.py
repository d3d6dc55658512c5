"""The next token: greedy, temperature, top-k, nucleus (Holtzman et al. 2020), penalties."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adapterbot.engine.request import Sample
from adapterbot.turn import Decode

HEAD = 256  # a nucleus is nearly always among this many tokens; sorting all is many times slower
COLDEST = 1e-4  # temperatures below are greedy: dividing by them would overflow


def next_tokens(logits: Tensor, rows: Sequence[Sample], separator: int) -> Tensor:
    """Sample one token per row [B] from logits [B, V] and add it to its sample; done rows get the separator.

    A row whose request has a start gets that first. Drawn on the processor, so that a seed gives the same reply on any
    device whose logits agree.
    """
    tokens = torch.full((len(rows),), separator)
    logits = logits.float().cpu()
    logprobs = torch.log_softmax(logits, -1)
    for b, grown in enumerate(rows):
        if grown.done:
            continue
        start = grown.request.start
        if len(grown.ids) < len(start):
            token = start[len(grown.ids)]
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
    decode = grown.request.decode
    ids = grown.ids
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
