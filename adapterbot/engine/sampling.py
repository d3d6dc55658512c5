"""The next token: greedy, temperature, top-k, nucleus (Holtzman et al. 2020), penalties.

Every request has its own settings and its own random generator: what is drawn for a row does not depend on the others.
B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adapterbot.engine.request import Sample

HEAD = 256  # a nucleus is nearly always among this many tokens; sorting all is many times slower
COLDEST = 1e-4  # temperatures below are greedy: dividing by them would overflow


def next_tokens(logits: Tensor, rows: Sequence[Sample], separator: int) -> Tensor:
    """Sample one token per row [B] from logits [B, V] and add it to its sample; done rows get the separator.

    A row whose request has a start gets that first. Drawn on the processor, so that a seed gives the same reply on any
    device whose logits agree.
    """
    tokens = torch.full((len(rows),), separator)
    logits = logits.float().cpu()
    going = [b for b, grown in enumerate(rows) if not grown.done]
    begun = [b for b in going if len(rows[b].ids) < len(rows[b].request.start)]
    for b in begun:
        _add(rows[b], rows[b].request.start[len(rows[b].ids)], separator)
    drawing = [b for b in going if b not in begun]
    if drawing:
        mine, those = [rows[b] for b in drawing], logits[drawing]
        chosen = _draw(_penalised(those, mine, separator), mine)
        logprobs = those.gather(1, chosen[:, None])[:, 0] - those.logsumexp(-1)
        for grown, token, logprob in zip(mine, chosen.tolist(), logprobs.tolist(), strict=True):
            grown.logprob += logprob
            grown.steps += 1
            _add(grown, token, separator)
    for b in going:
        if not rows[b].finished:
            tokens[b] = rows[b].ids[-1]
    return tokens


def _add(grown: Sample, token: int, separator: int) -> None:
    """A token more, or the end."""
    if token == separator:
        grown.finished = True
    else:
        grown.ids.append(token)


def _penalised(logits: Tensor, rows: Sequence[Sample], separator: int) -> Tensor:
    """Logits [B, V] after the penalties, which look at the reply alone, never at the prompt."""
    scores = logits.clone()
    used, banned = list[tuple[int, int]](), list[tuple[int, int]]()  # rows and tokens
    for b, grown in enumerate(rows):
        decode = grown.request.decode
        if decode.repetition_penalty > 1:
            used += [(b, token) for token in set(grown.ids)]
        banned += [(b, token) for token in _repeats(grown.ids, decode.no_repeat_ngram)]
        if len(grown.ids) < decode.min_tokens:
            banned.append((b, separator))
    if used:  # Keskar et al. 2019, section 4.1
        at = torch.tensor(used).unbind(1)
        penalty = torch.tensor([grown.request.decode.repetition_penalty for grown in rows])[at[0]]
        scores[at] = torch.where(scores[at] > 0, scores[at] / penalty, scores[at] * penalty)
    if banned:
        scores[torch.tensor(banned).unbind(1)] = -torch.inf
    return scores


def _repeats(ids: list[int], n: int) -> list[int]:
    """Tokens that would complete an n-gram which the reply already has."""
    if n <= 0 or len(ids) < n:
        return []
    tail = ids[len(ids) - n + 1 :]
    return [ids[i + n - 1] for i in range(len(ids) - n + 1) if ids[i : i + n - 1] == tail]


def _draw(scores: Tensor, rows: Sequence[Sample]) -> Tensor:
    """A token for each row [B] from scores [B, V] by the request's temperature, top-k and top-p."""
    tokens = scores.argmax(-1)
    groups: dict[int, list[int]] = {}  # rows that keep as many tokens
    for b, grown in enumerate(rows):
        decode = grown.request.decode
        if decode.temperature >= COLDEST:
            groups.setdefault(decode.top_k if decode.top_k < scores.shape[1] else 0, []).append(b)
    for most, members in groups.items():
        temperature = torch.tensor([rows[b].request.decode.temperature for b in members])
        probabilities = torch.softmax(scores[members] / temperature[:, None], -1)
        kept, index = probabilities.topk(min(most or HEAD, scores.shape[1]))
        if most:
            tokens[members] = _of_nucleus(kept / kept.sum(-1, keepdim=True), index, [rows[b] for b in members])
            continue
        tops = [rows[b].request.decode.top_p for b in members]
        inside = [mass > top for mass, top in zip(kept.sum(-1).tolist(), tops, strict=True)]
        for wanted in (True, False):  # where the nucleus is not inside, the whole vocabulary is sorted
            some = [i for i, found in enumerate(inside) if found == wanted]
            if some:
                of_some = [members[i] for i in some]
                likeliest = (kept[some], index[some]) if wanted else probabilities[some].sort(descending=True)
                tokens[of_some] = _of_nucleus(*likeliest, [rows[b] for b in of_some])
    return tokens


def _of_nucleus(probabilities: Tensor, index: Tensor, rows: Sequence[Sample]) -> Tensor:
    """One of the tokens `index` [B, k] for each row, whose probabilities [B, k] descend."""
    top_p = torch.tensor([grown.request.decode.top_p for grown in rows])[:, None]
    before = torch.cumsum(probabilities, -1) - probabilities  # mass of all likelier tokens
    probabilities = torch.where(before < top_p, probabilities, 0.0)  # the likeliest always stays
    cumulative = torch.cumsum(probabilities, -1)
    drawn = torch.cat([torch.rand(1, generator=grown.generator) for grown in rows])
    last = (probabilities > 0).sum(-1) - 1  # rounding may put the point at the very end
    place = torch.searchsorted(cumulative, (drawn * cumulative[:, -1])[:, None], right=True)[:, 0]
    return index.gather(1, torch.minimum(place, last).clamp(min=0)[:, None])[:, 0]
