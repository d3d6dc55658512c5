"""Train the ranker: the true reply against the replies of other dialogues of the same corpus."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import Progress
from torch import Tensor

from adapterbot.data import DATA
from adapterbot.data.corpora import load, split
from adapterbot.data.dialogue import Dialogue, read_dialogues
from adapterbot.errors import DataError
from adapterbot.home import written_by_rename
from adapterbot.manager.encoder import Encoder
from adapterbot.manager.ranker import HISTORY, RANKER, Towers, context_row, save_ranker
from adapterbot.spec import SkillSpec

PAIRS, VALID_PAIRS = 6_000, 400  # of each corpus at most
BESIDES = ("dailydialog", "esconv", "topicalchat")  # corpora that no skill has as its own
CANDIDATES = 20  # the true reply and 19 others of the same corpus, as it is reported
EPOCHS, BATCH, RATE = 12, 256, 1e-3
CHUNK = 512
LONGEST = 300  # characters of an utterance that are encoded


@dataclass(frozen=True, slots=True)
class Pairs:
    """Contexts [N, (1 + HISTORY) * w] and their true replies [N, w], of one corpus."""

    contexts: Tensor
    replies: Tensor


def train_ranker(
    specs: Mapping[str, SkillSpec],
    *,
    corpora: Path | None,
    encoder: Encoder,
    out: Path,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train on the dialogues of all routable skills and write ranker.safetensors and ranker.json into `out`.

    Without `corpora` it learns from the sample dialogues alone. Returns the share of validation contexts whose true
    reply comes first among CANDIDATES, over all and per corpus.

    Raises:
        DataError: no dialogues to learn from.
    """
    found = _dialogues(specs, corpora)
    with Progress(disable=quiet) as bar:
        train = {n: _pairs(d["train"], encoder, PAIRS, f"{seed} {n}", bar, n) for n, d in found.items()}
        valid = {n: _pairs(d["valid"], encoder, VALID_PAIRS, f"{seed} {n} valid", bar, n) for n, d in found.items()}
        towers = _fit(list(train.values()), list(valid.values()), encoder.width, seed, bar)
    per_corpus = {name: accuracy(towers, pairs) for name, pairs in valid.items()}
    report = {
        "encoder": encoder.name,
        "candidates": CANDIDATES,
        "first_among_candidates": sum(per_corpus.values()) / len(per_corpus),
        "per_corpus": per_corpus,
        "pairs": {name: len(pairs.replies) for name, pairs in train.items()},
    }
    save_ranker(out / RANKER, towers, encoder)
    with written_by_rename(out / "ranker.json") as temporary:
        temporary.write_text(json.dumps(report, indent=2), encoding="utf-8")
    return report


def _dialogues(specs: Mapping[str, SkillSpec], corpora: Path | None) -> dict[str, dict[str, list[Dialogue]]]:
    """Splits by corpus: the routable skills' own and BESIDES; without a folder, the skills' samples."""
    routable = [spec for spec in specs.values() if spec.routing.auto]
    if corpora is None:
        files = {spec.name: DATA / "samples" / f"{spec.name}.jsonl" for spec in routable}
        found = {name: split(read_dialogues(path), str(path)) for name, path in files.items() if path.is_file()}
    else:
        names = {spec.data.corpus for spec in routable if spec.data.corpus}
        names |= {name for name in BESIDES if (corpora / name).is_dir()}
        found = {name: load(name, corpora) for name in sorted(names)}
    if not found:
        raise DataError("no dialogues to train the ranker on; give a folder of corpora by --data")
    return found


def _pairs(dialogues: Sequence[Dialogue], encoder: Encoder, most: int, seed: str, bar: Progress, name: str) -> Pairs:
    """(context, reply) pairs of whole dialogues in random order, until there are `most`."""
    order = random.Random(seed).sample(list(dialogues), len(dialogues))
    chosen: list[Dialogue] = []
    count = 0
    for dialogue in order:
        chosen.append(dialogue)
        count += len(dialogue.turns) - 1
        if count >= most:
            break
    texts = list(dict.fromkeys(t.text[:LONGEST] for d in chosen for t in d.turns))
    place = {text: i for i, text in enumerate(texts)}
    vectors = _encode(texts, encoder, bar, name)
    rows = [[place[t.text[:LONGEST]] for t in d.turns] for d in chosen]
    contexts = [context_row(vectors[r[max(0, i - 1 - HISTORY) : i]]) for r in rows for i in range(1, len(r))]
    replies = vectors[[r[i] for r in rows for i in range(1, len(r))]]
    return Pairs(torch.stack(contexts), replies)


def _encode(texts: Sequence[str], encoder: Encoder, bar: Progress, name: str) -> Tensor:
    """Unit rows [N, w]; texts of like length are encoded together."""
    vectors = torch.zeros(len(texts), encoder.width)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    task = bar.add_task(f"encoding {name}", total=len(texts))
    for start in range(0, len(order), CHUNK):
        batch = order[start : start + CHUNK]
        vectors[batch] = encoder.encode([texts[i] for i in batch])
        bar.advance(task, len(batch))
    return vectors


def _fit(train: Sequence[Pairs], valid: Sequence[Pairs], width: int, seed: int, bar: Progress) -> Towers:
    """The towers with the best validation accuracy. A batch is of one corpus: style gives no reply away."""
    torch.manual_seed(seed)
    towers, draw = Towers(width), random.Random(seed)
    optimizer = torch.optim.AdamW(towers.parameters(), lr=RATE, weight_decay=0.05)
    best, kept = -1.0, towers.state_dict()
    task = bar.add_task("training", total=EPOCHS)
    for epoch in range(EPOCHS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - epoch / EPOCHS)
        for pairs, rows in _batches(train, draw):
            logits = towers(pairs.contexts[rows], pairs.replies[rows])  # [B, B]
            wanted = torch.arange(len(rows))
            loss = F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        score = sum(accuracy(towers, pairs) for pairs in valid) / len(valid)
        if score > best:
            best, kept = score, {name: tensor.clone() for name, tensor in towers.state_dict().items()}
        bar.advance(task)
    towers.load_state_dict(kept)
    return towers


def _batches(train: Sequence[Pairs], draw: random.Random) -> list[tuple[Pairs, list[int]]]:
    batches = []
    for pairs in train:
        order = draw.sample(range(len(pairs.replies)), len(pairs.replies))
        batches += [(pairs, order[i : i + BATCH]) for i in range(0, len(order), BATCH) if len(order) - i > 1]
    draw.shuffle(batches)
    return batches


@torch.inference_mode()
def accuracy(towers: Towers, pairs: Pairs) -> float:
    """Share of contexts whose true reply comes first among itself and CANDIDATES - 1 replies after it in the file."""
    total = len(pairs.replies)
    offsets = torch.linspace(0, total - 1, min(CANDIDATES, total)).long()  # spread: neighbours are of one dialogue
    hits = 0
    for i in range(total):
        logits = towers(pairs.contexts[i : i + 1], pairs.replies[(i + offsets.unique()) % total])[0]
        hits += int(logits.argmax() == 0)
    return hits / max(1, total)
