"""2 · From examples to training rows: which history goes before which message.

A message that shows its skill by itself must be understood after any history, or a change of topic goes unnoticed; a
follow-up ("and on Sunday?") only with its own. So messages of the first kind get no history or anybody's,
drawn anew for each batch; the vectors of all texts are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from adapterbot.manager.classifier import HISTORY, SPAN
from adapterbot.manager.encoder import Encoder, encode_rows
from adapterbot.manager.training.examples import Example

SHORT = 3  # words; "ok thank you" after another skill's turn still belongs to that skill
NO_HISTORY = 0.3  # share of the messages that stand alone which stay alone; the rest follows anybody's exchange
# How often each group is drawn: alone and written by hand, alone from corpora, follow-ups likewise.
SHARES = (0.40, 0.15, 0.30, 0.15)


@dataclass(slots=True)
class Mixture:
    """Examples as rows of `vectors`; row 0 is the zero vector of 'nothing was said'."""

    vectors: Tensor  # [T, width], half
    message: Tensor  # [N] row
    history: Tensor  # [N, SPAN] rows, 0 where none
    skill: Tensor  # [N]
    donors: Tensor  # [N] chance that others get this example's history; all skills alike
    alone: Tensor  # [N] bool
    trusted: Tensor  # [N] bool
    short: Tensor  # [N] bool
    classes: int

    @classmethod
    def of(cls, examples: Sequence[Example], classes: Sequence[str], row: dict[str, int], vectors: Tensor) -> Mixture:
        """The examples' tensors, given each text's row in `vectors`."""
        skill = torch.tensor([classes.index(e.skill) for e in examples], dtype=torch.long)
        spoken = torch.tensor([bool(e.history) for e in examples], dtype=torch.bool)
        counts = torch.bincount(skill[spoken], minlength=len(classes)).clamp(min=1)
        before = [[0] * (SPAN - len(e.history)) + [row[t] for t in e.history] for e in examples]
        return cls(
            vectors=vectors,
            message=torch.tensor([row[e.message] for e in examples], dtype=torch.long),
            history=torch.tensor(before, dtype=torch.long).view(len(examples), SPAN),
            skill=skill,
            donors=spoken / counts[skill],
            alone=torch.tensor([e.kind == "alone" for e in examples], dtype=torch.bool),
            trusted=torch.tensor([e.trusted for e in examples], dtype=torch.bool),
            short=torch.tensor([len(e.message.split()) <= SHORT for e in examples], dtype=torch.bool),
            classes=len(classes),
        )

    def features(self, message: Tensor, history: Tensor) -> Tensor:
        """Rows [B] and [B, S] -> [B, (1 + S) * width]."""
        rows = torch.cat([message.unsqueeze(1), history], dim=1)
        return self.vectors[rows.to(self.vectors.device)].float().flatten(1)

    def weights(self, shares: Sequence[float] = SHARES) -> Tensor:
        """Chance of each example [N]: all skills alike, and inside a skill the groups by `shares`."""
        by_hand = self.trusted
        alone = self.alone
        groups = (by_hand & alone, ~by_hand & alone, by_hand & ~alone, ~by_hand & ~alone)
        chances = torch.zeros(len(self.skill))
        for skill in range(self.classes):
            for share, group in zip(shares, groups, strict=True):
                chosen = group & (self.skill == skill)
                chances[chosen] = share / max(1, int(chosen.sum()))
            chances[self.skill == skill] /= chances[self.skill == skill].sum().clamp(min=1e-9)
        return chances

    def with_histories(self, picked: Tensor, generator: Generator, span: int = HISTORY) -> Tensor:
        """Rows [B, span] to put before the examples `picked` [B]."""
        history = self.history[picked, -span:].clone()
        if not self.donors.any():
            return history
        donor = torch.multinomial(self.donors, len(picked), replacement=True, generator=generator)
        wanted = torch.rand(len(picked), generator=generator) > NO_HISTORY
        changed = self.alone[picked] & ~self.short[picked] & wanted
        history[changed] = self.history[donor[changed], -span:]
        return history

    def fixed(self, seed: int) -> tuple[Tensor, Tensor]:
        """Every example once, half of those that stand alone after somebody's exchange: features [N, D], labels [N]."""
        everything = torch.arange(len(self.skill))
        history = self.with_histories(everything, Generator().manual_seed(seed), SPAN)
        return self.features(self.message, history), self.skill


def encode_texts(
    examples: Sequence[Example], encoder: Encoder, advance: Callable[[int, int], None]
) -> tuple[dict[str, int], Tensor]:
    """Each text's row, and the rows [1 + T, width] in half precision; `advance` is told how many of T are done."""
    texts = sorted({t for e in examples for t in (e.message, *e.history)}, key=lambda t: (len(t), t))
    return {text: i for i, text in enumerate(texts, 1)}, encode_rows(texts, encoder, advance).half()
