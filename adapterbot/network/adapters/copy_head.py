"""5 · A copy head: the next token may be one of the facts' (pointer-generator networks, See et al. 2017, section 2.2).

A small model cannot spell a name that it has only seen in its facts. The head, a part of a skill's adapter, looks for
the place in the facts that the reply has come to, and mixes the token that follows there into the output:

    P(w) = (1 - g) softmax(logits)(w) + g sum_j a_j ((1 - u) [fact_j = w] + u [Fact_j = w])

`a` is an attention over the facts' tokens, `g` and `u` are gates, and Fact_j is token j with a capital, so that
facts in lower case can be told in sentences. G heads, B rows, T positions, F tokens of facts, d width, c width of the
attention, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.errors import AdapterError
from adapterbot.network.adapters import AdapterKind, Memory, Rows
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

# Keys see the token before (state and embedding) and the state at the token; queries see the state and the last token.
TENSORS = ("copy.key", "copy.query", "copy.gates", "copy.bias")
CLOSED = -3.0  # bias of an untrained gate: it copies in 1 of 20 cases
SHARP = 0.35  # of both sides of the attention: two equal tokens in like contexts start with a score of about 8
WIDEST = 1024  # attention: as much as skill.toml allows
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
    gates = torch.zeros(2 * width, 2)
    bias = torch.full((2,), CLOSED)
    return dict(zip(TENSORS, (torch.cat([query, key]), query, gates, bias), strict=True))


@dataclass(frozen=True, slots=True)
class CopyMemory:
    """What can be copied, by row: the facts' tokens and the keys to find them by."""

    keys: Tensor  # [B, F, c]
    states: Tensor  # [B, F, d] normalised
    ids: Tensor  # [B, F]
    capitals: Tensor  # [B, F] the same tokens with a capital
    seen: Tensor  # [B, F] bool: what is no padding

    def select(self, rows: Tensor) -> CopyMemory:
        """These rows, in this order."""
        return CopyMemory(*(t[rows] for t in (self.keys, self.states, self.ids, self.capitals, self.seen)))


class CopyHead(AdapterKind):
    """Stands beside any kind of adapter; the logits of rows without a head come back as they are."""

    name = "copy"
    sites = frozenset({"output"})
    companion = True
    precise = True  # an attention over hundreds of tokens has to tell them apart

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        # No wider than these heads need; zeros beyond a head's own width add nothing to a score.
        widest = max(w["copy.key"].shape[-1] for w in weights)
        self.key, self.query = (
            torch.stack([F.pad(w[name], (0, widest - w[name].shape[-1])) for w in weights])
            for name in ("copy.key", "copy.query")
        )  # [G, 3d, c], [G, 2d, c]
        self.gates, self.bias = (torch.stack([w[name] for w in weights]) for name in ("copy.gates", "copy.bias"))

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """A head that hardly copies yet, where the table gives its attention a width."""
        return drawn(shape.width, table.copying, draw) if table.copying else {}

    @classmethod
    def tensors(cls, given: Mapping[str, tuple[int, ...]], shape: Shape) -> dict[str, tuple[int, ...]]:
        """The width of the attention is that of the keys."""
        key = given.get("copy.key", (3 * shape.width, 1))  # one that lacks is told by its name
        if len(key) != 2 or not 1 <= key[1] <= WIDEST:
            raise AdapterError(f"copy.key has shape {list(key)}, not [{3 * shape.width}, 1 to {WIDEST:,}]")
        return sizes(shape.width, key[1])

    def read(
        self, states: Tensor, embedded: Tensor, ids: Tensor, capitals: Tensor, lengths: Sequence[int], rows: Rows
    ) -> CopyMemory:
        """The facts' keys: each is made of the token before (state and embedding) and of the state at the token."""
        states = _normal(states)
        embedded = _normal(embedded)
        before = F.pad(torch.cat([states, embedded], -1), (0, 0, 1, 0))[:, :-1]  # [B, F, 2d] of the token before
        seen = torch.arange(ids.shape[1], device=ids.device) < torch.tensor(lengths, device=ids.device)[:, None]
        with _exact(states):
            keys = rows.linear(torch.cat([before, states], -1), self.key.float())
        return CopyMemory(keys, states, ids, capitals, seen)

    def attend(self, hidden: Tensor, embedded: Tensor, memory: CopyMemory, rows: Rows) -> tuple[Tensor, Tensor]:
        """hidden, embedded [B, T, d] -> what each fact token gets as it is and with a capital, two of [B, T, F].

        Both together sum to the gate g; to 0 in a row without facts or without a head.
        """
        hidden = _normal(hidden)
        with _exact(hidden):
            query = rows.linear(torch.cat([hidden, _normal(embedded)], -1), self.query.float())  # [B, T, c]
            scores = query @ memory.keys.transpose(1, 2)  # [B, T, F]
            attention = scores.masked_fill(~memory.seen[:, None], -1e9).softmax(-1)
            found = attention @ memory.states  # [B, T, d]
            gates = rows.linear(torch.cat([hidden, found], -1), self.gates.float(), self.bias.float())
            gate, capital = gates.sigmoid().split(1, -1)
            gate = gate * (memory.seen.any(-1) & rows.seen)[:, None, None]
        return attention * gate * (1 - capital), attention * gate * capital

    def output(self, logits: Tensor, hidden: Tensor, embedded: Tensor, memory: Memory, rows: Rows) -> Tensor:
        """logits [B, T, V] -> logarithms of the mixture [B, T, V]."""
        facts = cast(CopyMemory, memory)
        plain, capital = self.attend(hidden, embedded, facts, rows)
        gate = plain.sum(-1, keepdim=True) + capital.sum(-1, keepdim=True)
        mixture = logits.float().softmax(-1) * (1 - gate)
        for part, ids in ((plain, facts.ids), (capital, facts.capitals)):
            mixture = mixture.scatter_add(-1, ids[:, None].expand_as(part), part)
        mixed = mixture.clamp_min(LEAST).log()
        return mixed if rows.alike else torch.where(rows.seen[:, None, None], mixed, logits)

    def nats(
        self, logits: Tensor, labels: Tensor, hidden: Tensor, embedded: Tensor, memory: Memory, at: Tensor, rows: Rows
    ) -> Tensor:
        """Cross-entropy [N] of labels [N] by the mixture."""
        facts = cast(CopyMemory, memory)
        row = at.nonzero()[:, 0]  # [N] that each label stands in
        plain, capital = (part[at] for part in self.attend(hidden, embedded, facts, rows))  # [N, F]
        spoken = logits.float().log_softmax(-1).gather(-1, labels[:, None])[:, 0].exp()
        as_it_is = facts.ids[row] == labels[:, None]  # [N, F]
        with_capital = facts.capitals[row] == labels[:, None]
        copied = (plain * as_it_is + capital * with_capital).sum(-1)
        gate = plain.sum(-1) + capital.sum(-1)
        nats = -((1 - gate) * spoken + copied).clamp_min(LEAST).log()
        if rows.alike:
            return nats
        return torch.where(rows.seen[row], nats, F.cross_entropy(logits.float(), labels, reduction="none"))


def _normal(x: Tensor) -> Tensor:
    return F.layer_norm(x.float(), x.shape[-1:])


def _exact(x: Tensor) -> torch.autocast:
    """float32 also where the rest is computed in bf16: an attention over hundreds of tokens has to tell them apart."""
    return torch.autocast(x.device.type, enabled=False)


KIND = CopyHead
