"""2 · Dialogues as rows of utterances: what the ranker and the dialogue encoder learn replies from.

A batch is a few whole dialogues of one corpus. Each utterance but the first is the true reply to those before it; all
utterances of the batch are candidates, but for those that come later in its own dialogue, which might fit as well.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.data.dialogue import Dialogue
from adapterbot.manager.classifier import HISTORY
from adapterbot.manager.ranker import Towers

CANDIDATES = 20  # the true reply and 19 of other dialogues of the same corpus, as it is reported
LONGEST = 300  # characters of an utterance that are read


@dataclass(frozen=True, slots=True)
class Batch:
    """N contexts with their replies among C candidates, all as rows of a table of utterances; row 0 is silence."""

    contexts: Tensor  # [N, 1 + HISTORY]
    candidates: Tensor  # [C]
    truth: Tensor  # [N], places in `candidates`
    barred: Tensor  # [N, C] bool: no candidate for this context


@dataclass(frozen=True, slots=True)
class ReplyPairs:
    """Dialogues of one corpus, each a list of rows."""

    dialogues: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, dialogues: Sequence[Dialogue], row: dict[str, int], most: int, seed: str) -> ReplyPairs:
        """Whole dialogues in random order with about `most` replies; new utterances get the next rows in `row`."""
        chosen: list[tuple[int, ...]] = []
        count = 0
        for dialogue in random.Random(seed).sample(list(dialogues), len(dialogues)):
            if count >= most:
                break
            rows = tuple(row.setdefault(turn.text[:LONGEST], len(row) + 1) for turn in dialogue.turns)
            if len(rows) > 1:
                chosen.append(rows)
                count += len(rows) - 1
        return cls(tuple(chosen))

    @property
    def replies(self) -> int:
        """How many there are to learn from."""
        return sum(len(rows) - 1 for rows in self.dialogues)

    def groups(self, draw: random.Random, size: int) -> list[list[tuple[int, ...]]]:
        """Every dialogue once, in groups of about `size` replies, each to be made a `batch` of when its turn comes."""
        groups = []
        waiting = list[tuple[int, ...]]()
        count = 0
        for rows in draw.sample(self.dialogues, len(self.dialogues)):
            waiting.append(rows)
            count += len(rows) - 1
            if count >= size:
                groups.append(waiting)
                waiting = []
                count = 0
        return groups + ([waiting] if len(waiting) > 1 else [])


def batch(dialogues: Sequence[Sequence[int]]) -> Batch:
    """One batch of these dialogues."""
    candidates = sorted({row for rows in dialogues for row in rows})
    place = {row: i for i, row in enumerate(candidates)}
    contexts = []
    truth = []
    barred = []
    for rows in dialogues:
        for i in range(1, len(rows)):
            contexts.append(context(rows[:i]))
            truth.append(place[rows[i]])
            barred += [[len(truth) - 1, place[row]] for row in rows[i + 1 :] if row != rows[i]]
    no = torch.zeros(len(truth), len(candidates), dtype=torch.bool)
    if barred:
        no[tuple(torch.tensor(barred).T)] = True
    return Batch(torch.tensor(contexts), torch.tensor(candidates), torch.tensor(truth), no)


def context(rows: Sequence[int]) -> list[int]:
    """[1 + HISTORY]: the newest utterance, then those before it, oldest first; 0 where nothing was said."""
    before = list(rows[:-1])[-HISTORY:]
    return [rows[-1], *[0] * (HISTORY - len(before)), *before]


def reply_loss(towers: Towers, vectors: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of the true reply among the candidates, and of the context among those of the batch."""
    device = vectors.device
    truth = batch.truth.to(device)
    barred = batch.barred.to(device)
    contexts = vectors[batch.contexts.to(device)].flatten(1)
    logits = towers(contexts, vectors[batch.candidates.to(device)]).masked_fill(barred, -torch.inf)
    among = logits[:, truth]  # [N, N]; the same reply to another context is right there as well
    same = (truth[:, None] == truth[None, :]).fill_diagonal_(False)
    own = torch.arange(len(truth), device=device)
    return F.cross_entropy(logits, truth) + F.cross_entropy(among.masked_fill(same, -torch.inf).T, own)


@torch.inference_mode()
def accuracy(towers: Towers, vectors: Tensor, talks: ReplyPairs, seed: int = 0) -> float:
    """Share of contexts whose true reply comes first among itself and CANDIDATES - 1 replies of other dialogues."""
    draw = random.Random(seed)
    hits = 0
    total = 0
    learning = towers.training
    towers.eval()
    replies = [[(rows[i], number) for i in range(1, len(rows))] for number, rows in enumerate(talks.dialogues)]
    everything = [pair for own in replies for pair in own]
    for number, rows in enumerate(talks.dialogues):
        for i in range(1, len(rows)):
            others = draw.sample(everything, min(len(everything), 2 * CANDIDATES + len(rows)))
            wrong = [row for row, whose in others if whose != number and row != rows[i]][: CANDIDATES - 1]
            logits = towers(vectors[context(rows[:i])].view(1, -1), vectors[[rows[i], *wrong]])[0]
            hits += int(logits.argmax() == 0)
            total += 1
    towers.train(learning)
    return hits / max(1, total)
