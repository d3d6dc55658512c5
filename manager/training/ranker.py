"""Train the ranker: the true reply against other replies of the same corpus and against what was said before."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor

from adapterbot.data.corpora import GENERAL, NO_SKILLS_OWN, load, split
from adapterbot.data.dialogue import Dialogue, read_dialogues
from adapterbot.errors import DataError
from adapterbot.home import DATA, written_by_rename
from adapterbot.manager.encoder import Encoder, encode_rows
from adapterbot.manager.ranker import RANKER, Towers, save_ranker
from adapterbot.manager.training.reply_batches import CANDIDATES, ReplyPairs, accuracy, batch, reply_loss
from adapterbot.network.device import on_fastest
from adapterbot.spec.tables import SkillSpec

REPLIES = 10_000  # of each corpus, about
VALID_REPLIES = 400  # of each corpus, about
EPOCHS = 8
BATCH = 256
RATE = 5e-4  # of the first epoch


def train_ranker(
    specs: Mapping[str, SkillSpec],
    *,
    corpora: Path | None,
    encoder: Encoder,
    out: Path,
    start: Towers | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train on the dialogues of all routable skills and write ranker.safetensors and ranker.json into `out`.

    It goes on from the towers `start`. Without `corpora` it learns from the sample dialogues alone. Returns the share
    of validation contexts whose true reply comes first among CANDIDATES, over all and per corpus.

    Raises:
        DataError: no dialogues to learn from.
    """
    found = dialogues_of(specs, corpora)
    row = dict[str, int]()
    train = {n: ReplyPairs.of(d["train"], row, REPLIES, f"{seed} {n}") for n, d in found.items()}
    valid = {n: ReplyPairs.of(d["valid"], row, VALID_REPLIES, f"{seed} {n} valid") for n, d in found.items()}
    with Progress(disable=quiet) as bar:
        vectors = encode_with_progress(list(row), encoder, bar)
        towers = fit(start or Towers(encoder.width), [*train.values()], [*valid.values()], vectors, seed, bar)
    save_ranker(out / RANKER, towers, encoder)
    return report_on(towers, vectors, valid, train, encoder, out)


def report_on(
    towers: Towers,
    vectors: Tensor,
    valid: Mapping[str, ReplyPairs],
    train: Mapping[str, ReplyPairs],
    encoder: Encoder,
    out: Path,
) -> dict[str, Any]:
    """Write ranker.json: how often the true reply comes first, for each corpus; `vectors` are those of `valid`."""
    per_corpus = {name: accuracy(towers, vectors, talks) for name, talks in valid.items()}
    report = {
        "encoder": encoder.name,
        "candidates": CANDIDATES,
        "first_among_candidates": sum(per_corpus.values()) / len(per_corpus),
        "per_corpus": per_corpus,
        "replies": {name: talks.replies for name, talks in train.items()},
    }
    with written_by_rename(out / "ranker.json") as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def dialogues_of(specs: Mapping[str, SkillSpec], corpora: Path | None) -> dict[str, dict[str, list[Dialogue]]]:
    """Splits by corpus: the routable skills' own and those that are no skill's; without a folder, the skills' samples.

    Raises:
        DataError: none is there, or `corpora` is no folder.
    """
    routable = [spec for spec in specs.values() if spec.routing.auto]
    if corpora is not None and not corpora.is_dir():
        raise DataError(f"{corpora} is not a folder of corpora")
    if corpora is None:
        files = {spec.name: DATA / "samples" / f"{spec.name}.jsonl" for spec in routable}
        found = {name: split(read_dialogues(path), str(path)) for name, path in files.items() if path.is_file()}
    else:
        names = {spec.data.corpus for spec in routable} - {"", GENERAL}
        names |= {name for name in NO_SKILLS_OWN if (corpora / name).is_dir()}
        found = {name: load(name, corpora) for name in sorted(names)}
    if not found:
        raise DataError("no dialogues to train the ranker on; give a folder of corpora by --data")
    return found


def encode_with_progress(texts: Sequence[str], encoder: Encoder, bar: Progress) -> Tensor:
    """`encode_rows` with its progress in `bar`."""
    task = bar.add_task("encoding", total=len(texts))
    return encode_rows(texts, encoder, lambda done, total: bar.update(task, completed=done, total=total))


def fit(
    towers: Towers,
    train: Sequence[ReplyPairs],
    valid: Sequence[ReplyPairs],
    vectors: Tensor,
    seed: int,
    bar: Progress,
    rate: float = RATE,
) -> Towers:
    """`towers` as they were at their best validation accuracy, untrained included, over rows of `vectors` [1 + T, w].

    A batch is of one corpus: style gives no reply away.
    """
    torch.manual_seed(seed)
    draw = random.Random(seed)
    task = bar.add_task("training", total=EPOCHS)
    with on_fastest(towers):
        optimizer = torch.optim.AdamW(towers.parameters(), lr=rate, weight_decay=0.05)
        table = vectors.to(towers.scale.device)
        best = sum(accuracy(towers, table, talks) for talks in valid) / len(valid)
        kept = {name: tensor.clone() for name, tensor in towers.state_dict().items()}
        for epoch in range(EPOCHS):
            for parameters in optimizer.param_groups:
                parameters["lr"] = rate * (1 - epoch / EPOCHS)
            towers.train()
            groups = [group for talks in train for group in talks.groups(draw, BATCH)]
            for group in draw.sample(groups, len(groups)):
                loss = reply_loss(towers, table, batch(group))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            score = sum(accuracy(towers, table, talks) for talks in valid) / len(valid)
            if score > best:
                best = score
                kept = {name: tensor.clone() for name, tensor in towers.state_dict().items()}
            bar.advance(task)
        towers.load_state_dict(kept)
    return towers.eval()
