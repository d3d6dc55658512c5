"""5 · A copy head: the next token may be one of the facts' (pointer-generator networks, See et al. 2017, section 2.2).

A small model cannot spell a name that it has only seen in its facts. The head, a part of a skill's adapter, looks for
the place in the facts that the reply has come to, and mixes the token that follows there into the output:

    P(w) = (1 - g) softmax(logits)(w) + g sum_j a_j ((1 - u) [fact_j = w] + u [Fact_j = w])

`a` is an attention over the facts' tokens, `g` and `u` are gates, and Fact_j is token j with a capital, so that
facts in lower case can be told in sentences. B rows, T positions, F tokens of facts, d width, c width of the
attention, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Keys see the token before (state and embedding) and the state at the token; queries see the state and the last token.
TENSORS = ("copy.key", "copy.query", "copy.gates", "copy.bias")
CLOSED = -3.0  # bias of an untrained gate: it copies in 1 of 20 cases
SHARP = 0.35  # of both sides of the attention: two equal tokens in like contexts start with a score of about 8
LEAST = 1e-10  # of a probability, so that its logarithm stays finite


def sizes(width: int, attention: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor."""
    return dict(zip(TENSORS, ((3 * width, attention), (2 * width, attention), (2 * width, 2), (2,)), strict=True))


def drawn(width: int, attention: int, draw: torch.Generator) -> dict[str, Tensor]:
    """First weights: both gates nearly closed, and an attention that finds where the last token stands in the facts.

    For that, one random projection takes (state, token) of the reply to the query and of the token before to the key:
    the match that two layers of a transformer have to learn as an induction head (Olsson et al. 2022).
    """
    query = torch.empty(2 * width, attention).normal_(0.0, SHARP * (2 * width) ** -0.5, generator=draw)
    key = torch.empty(width, attention).normal_(0.0, SHARP * width**-0.5, generator=draw)
    gates, bias = torch.zeros(2 * width, 2), torch.full((2,), CLOSED)
    return dict(zip(TENSORS, (torch.cat([query, key]), query, gates, bias), strict=True))


@dataclass(frozen=True, slots=True)
class Source:
    """What can be copied, by row: the facts' tokens and the keys to find them by."""

    keys: Tensor  # [B, F, c]
    states: Tensor  # [B, F, d] normalised
    ids: Tensor  # [B, F]
    capitals: Tensor  # [B, F] the same tokens with a capital
    seen: Tensor  # [B, F] bool: what is no padding

    def select(self, rows: Tensor) -> Source:
        """These rows, in this order."""
        return Source(*(t[rows] for t in (self.keys, self.states, self.ids, self.capitals, self.seen)))


class CopyHead:
    """The weights for a batch: tensors as in `sizes` for all rows alike, or [B, ...] one per row.

    `rows` [B] says which rows have a head; the others' logits come back as they are.
    """

    def __init__(self, weights: Mapping[str, Tensor], rows: Tensor | None = None) -> None:
        self.key, self.query, self.gates, self.bias = (weights[name] for name in TENSORS)
        self.rows = rows

    def read(self, states: Tensor, embedded: Tensor, ids: Tensor, capitals: Tensor, lengths: Sequence[int]) -> Source:
        """states, embedded [B, F, d], ids, capitals [B, F]: the facts at the left of their rows, `lengths` tokens."""
        states, embedded = _normal(states), _normal(embedded)
        before = F.pad(torch.cat([states, embedded], -1), (0, 0, 1, 0))[:, :-1]  # [B, F, 2d] of the token before
        seen = torch.arange(ids.shape[1], device=ids.device) < torch.tensor(lengths, device=ids.device)[:, None]
        with _exact(states):
            return Source(torch.cat([before, states], -1) @ self.key.float(), states, ids, capitals, seen)

    def attend(self, hidden: Tensor, embedded: Tensor, source: Source) -> tuple[Tensor, Tensor]:
        """hidden, embedded [B, T, d] -> what each fact token gets as it is and with a capital, two of [B, T, F].

        Both together sum to the gate g; to 0 in a row without facts.
        """
        hidden = _normal(hidden)
        with _exact(hidden):
            query = torch.cat([hidden, _normal(embedded)], -1) @ self.query.float()  # [B, T, c]
            scores = query @ source.keys.transpose(1, 2)  # [B, T, F]
            attention = scores.masked_fill(~source.seen[:, None], -1e9).softmax(-1)
            bias = self.bias.float() if self.bias.dim() == 1 else self.bias.float()[:, None]
            found = attention @ source.states  # [B, T, d]
            gate, capital = (torch.cat([hidden, found], -1) @ self.gates.float() + bias).sigmoid().split(1, -1)
            gate = gate * source.seen.any(-1)[:, None, None]
        return attention * gate * (1 - capital), attention * gate * capital

    def mixed(self, logits: Tensor, plain: Tensor, capital: Tensor, source: Source) -> Tensor:
        """logits [B, T, V] -> logarithms of the mixture [B, T, V]; what `attend` gave for the same positions."""
        gate = plain.sum(-1, keepdim=True) + capital.sum(-1, keepdim=True)
        mixture = logits.float().softmax(-1) * (1 - gate)
        for part, ids in ((plain, source.ids), (capital, source.capitals)):
            mixture = mixture.scatter_add(-1, ids[:, None].expand_as(part), part)
        made = mixture.clamp_min(LEAST).log()
        return made if self.rows is None else torch.where(self.rows[:, None, None], made, logits)

    @staticmethod
    def nats(logits: Tensor, labels: Tensor, plain: Tensor, capital: Tensor, ids: Tensor, capitals: Tensor) -> Tensor:
        """Cross-entropy [N] of labels [N] by the mixture, from logits [N, V] and [N, F] of what `attend` gave."""
        spoken = logits.float().log_softmax(-1).gather(-1, labels[:, None])[:, 0].exp()
        copied = (plain * (ids == labels[:, None]) + capital * (capitals == labels[:, None])).sum(-1)
        gate = plain.sum(-1) + capital.sum(-1)
        return -((1 - gate) * spoken + copied).clamp_min(LEAST).log()


def _normal(x: Tensor) -> Tensor:
    return F.layer_norm(x.float(), x.shape[-1:])


def _exact(x: Tensor) -> torch.autocast:
    """float32 also where the rest is computed in bf16: an attention over hundreds of tokens has to tell them apart."""
    return torch.autocast(x.device.type, enabled=False)
