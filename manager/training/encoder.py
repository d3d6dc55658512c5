"""`adapterbot train-encoder`: a low-rank update by which MiniLM reads dialogues, learnt with the two tasks it is for.

Each step is a batch of messages whose skill is to be told (as in `training`) and a batch of dialogues whose true
replies are to be found (as in `ranking`); the loss is the sum. The update and the ranker's towers are kept; the head
that tells skills is trained afterwards on the frozen vectors, by `adapterbot train-manager`.
"""

from __future__ import annotations

import hashlib
import random
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import Progress
from torch import Generator, Tensor, nn

from adapterbot.manager.bert import PADDING, BertEncoder
from adapterbot.manager.classifier import Head
from adapterbot.manager.encoder import DIALOGUE, UPDATE, load_encoder, minilm
from adapterbot.manager.low_rank import LowRank, save_update
from adapterbot.manager.ranker import RANKER, Towers, save_ranker
from adapterbot.manager.training.classifier import ClassifierTraining, train_manager
from adapterbot.manager.training.examples import collect
from adapterbot.manager.training.mixtures import Mixture
from adapterbot.manager.training.ranker import VALID_REPLIES, dialogues_of, encode_with_progress, report_on
from adapterbot.manager.training.reply_batches import Batch, ReplyPairs, batch, reply_loss
from adapterbot.manager.training.report import require_libraries
from adapterbot.network.checkpoint import checkpoint_of, remove_checkpoint, save_checkpoint
from adapterbot.network.device import mixed_precision, on_fastest
from adapterbot.spec.tables import SkillSpec

REPLIES = 60_000  # of each corpus, about
BUDGETS = (60_000, 60_000)  # messages that stand alone, and follow-ups
# As `mixing.SHARES`; less by hand, since those are few and the encoder would learn them by heart.
SHARES = (0.15, 0.30, 0.15, 0.40)
RATE = 1.5e-3  # of the update
TOP_RATE = 1e-3  # of what is on top of the encoder
WARMUP = 0.05
SMOOTHING = 0.1
CLIP = 1.0
CHECKPOINT = ".encoder"  # the folder of its checkpoint; no skill can have that name
OPTIMIZER = "adamw"  # its moments' name in a checkpoint
TOKENS = 48  # of an utterance that are read while training
LENGTHS = 3  # parts of like length that a step's utterances are encoded in


@dataclass(frozen=True, slots=True)
class EncoderTraining:
    """How an encoder is trained: steps of so many messages and replies each, and how often a checkpoint is written."""

    steps: int
    seed: int = 0
    messages: int = 512
    replies: int = 512
    checkpoint_seconds: float = 60.0


@dataclass(slots=True)
class EncoderDataset:
    """What is learnt from: one table of utterances, and messages and dialogues as rows of it."""

    ids: Tensor  # [1 + T, TOKENS] int16, PADDING where there is none; row 0 is silence
    mixture: Mixture
    talks: Mapping[str, ReplyPairs]

    def key(self, base: BertEncoder, settings: EncoderTraining) -> dict[str, Any]:
        """What a checkpoint belongs to."""
        digest = hashlib.sha256(self.ids.numpy().tobytes()).hexdigest()
        return {"base": base.fingerprint, "utterances": digest, **asdict(replace(settings, checkpoint_seconds=0.0))}

    def steps(self, settings: EncoderTraining) -> Iterator[tuple[Tensor, Tensor, Batch]]:
        """Rows [B, 1 + HISTORY] of messages, their skills [B], and a batch of dialogues, for each step."""
        generator = Generator().manual_seed(settings.seed)
        batches = self._batches(random.Random(settings.seed), settings.replies)
        mixture = self.mixture
        size = settings.messages
        drawn = torch.multinomial(mixture.weights(SHARES), settings.steps * size, replacement=True, generator=generator)
        for picked in drawn.split(size):
            rows = torch.cat([mixture.message[picked, None], mixture.with_histories(picked, generator)], 1)
            yield rows, mixture.skill[picked], next(batches)

    def _batches(self, draw: random.Random, size: int) -> Iterator[Batch]:
        """Batches of one corpus each, one pass over all of them after the other, without end."""
        while True:
            groups = [group for talks in self.talks.values() for group in talks.groups(draw, size)]
            yield from map(batch, draw.sample(groups, len(groups)))


class Student(nn.Module):
    """The update of `base`, and what is learnt on top of it."""

    def __init__(self, base: BertEncoder, skills: int) -> None:
        super().__init__()
        self.base = base
        self.update = LowRank(base.weights)
        self.towers = Towers(base.width)
        self.head = Head(base.width, skills)

    def loss(self, ids: Tensor, messages: Tensor, skills: Tensor, talk: Batch) -> Tensor:
        """Cross-entropy of the skills and of the replies; `messages` and `talk` are rows of `ids`."""
        parts = (messages, talk.contexts, talk.candidates)
        rows, place = torch.cat([part.flatten() for part in parts]).unique(return_inverse=True)
        vectors = self._encoded(ids[rows])  # [U, w]
        at = [part.view_as(rows) for part, rows in zip(place.split([p.numel() for p in parts]), parts, strict=True)]
        told = self.head(vectors[at[0].to(vectors.device)].flatten(1))
        route = F.cross_entropy(told, skills.to(vectors.device), label_smoothing=SMOOTHING)
        return route + reply_loss(self.towers, vectors, replace(talk, contexts=at[1], candidates=at[2]))

    def update_by(self, optimizer: torch.optim.Optimizer, ids: Tensor, batches: tuple[Tensor, Tensor, Batch]) -> float:
        """One step; returns its loss."""
        loss = self.loss(ids, *batches)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters(), CLIP)
        optimizer.step()
        return float(loss.detach())

    def _encoded(self, ids: Tensor) -> Tensor:
        """Unit rows [U, w] of ids [U, TOKENS], zeros for silence."""
        weights = self.update.merged(self.base.weights)
        lengths = (ids != PADDING).sum(1)
        order = lengths.argsort()
        order = order[lengths[order] > 0]
        vectors = torch.zeros(len(ids), self.base.width, device=self.towers.scale.device)
        with mixed_precision():
            for some in order.tensor_split(LENGTHS):
                if len(some):
                    encoded = self.base.pooled(ids[some, : int(lengths[some].max())].long(), weights)
                    vectors = vectors.index_put((some.to(vectors.device),), encoded.float())
        return vectors


def train_encoder(
    specs: Mapping[str, SkillSpec],
    *,
    corpora: Path,
    base: BertEncoder,
    out: Path,
    training: Path,
    settings: EncoderTraining,
) -> dict[str, Any]:
    """Write encoder.safetensors, ranker.safetensors and ranker.json into `out`; returns the ranker's figures.

    A run that was killed goes on from its last checkpoint in the folder `training`.

    Raises:
        DataError: `corpora` is no folder of corpora, or a file in it has a bad line.
    """
    found = dialogues_of(specs, corpora)
    with Progress() as bar:
        dataset = read_encoder_dataset(specs, corpora, base, settings.seed, bar)
        student = learn(dataset, base, training, settings, bar)
        save_update(out / UPDATE, student.update, base.fingerprint)
        encoder = base.updated(out / UPDATE, DIALOGUE)
        row = dict[str, int]()
        valid = {
            n: ReplyPairs.of(d["valid"], row, VALID_REPLIES, f"{settings.seed} {n} valid") for n, d in found.items()
        }
        vectors = encode_with_progress(list(row), encoder, bar)
    save_ranker(out / RANKER, student.towers, encoder)
    return report_on(student.towers, vectors, valid, dataset.talks, encoder, out)


def read_encoder_dataset(
    specs: Mapping[str, SkillSpec], corpora: Path, base: BertEncoder, seed: int, bar: Progress
) -> EncoderDataset:
    """Training messages of all routable skills, training dialogues of all corpora that the ranker learns from."""
    routable = {name: spec for name, spec in sorted(specs.items()) if spec.routing.auto}
    examples = [e for e in collect(routable, corpora, seed, BUDGETS)[0] if not e.valid]
    row: dict[str, int] = {}
    for example in examples:
        for text in (example.message, *example.history):
            row.setdefault(text, len(row) + 1)
    classes = [name for name in routable if any(e.skill == name for e in examples)]
    mixture = Mixture.of(examples, classes, row, torch.empty(0))
    found = dialogues_of(specs, corpora)
    talks = {name: ReplyPairs.of(d["train"], row, REPLIES, f"{seed} {name}") for name, d in found.items()}
    texts = list(row)
    task = bar.add_task("reading", total=len(row))
    ids = torch.full((1 + len(texts), TOKENS), PADDING, dtype=torch.int16)
    for start in range(0, len(texts), 1024):
        some = base.tokens(texts[start : start + 1024])[:, :TOKENS]
        ids[1 + start : 1 + start + len(some), : some.shape[1]] = some
        bar.advance(task, len(some))
    return EncoderDataset(ids, mixture, talks)


def learn(
    dataset: EncoderDataset, base: BertEncoder, training: Path, settings: EncoderTraining, bar: Progress
) -> Student:
    """A student after all steps, on the processor; checkpoints lie in the folder `training` until it has ended."""
    steps = settings.steps
    torch.manual_seed(settings.seed)
    student = Student(base, dataset.mixture.classes)
    with on_fastest(student, base):
        rates = {student.update: RATE, student.towers: TOP_RATE, student.head: TOP_RATE}
        groups = [{"params": list(part.parameters())} for part in rates]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [*rates.values()], steps, pct_start=WARMUP)
        key = dataset.key(base, settings)
        checkpoint = checkpoint_of(training, key)
        checkpoint.restore_weights(student)
        checkpoint.restore_moments(student, {OPTIMIZER: optimizer})
        done = checkpoint.progress.get("step", 0)
        saved = time.monotonic()
        with warnings.catch_warnings(action="ignore"):  # of a schedule that moves on without its optimizer
            for _ in range(done):
                schedule.step()
        task = bar.add_task("training", total=steps, completed=done)
        for step, batches in islice(enumerate(dataset.steps(settings)), done, None):
            torch.manual_seed(settings.seed * steps + step)  # dropout is the same in a run that was killed
            loss = student.update_by(optimizer, dataset.ids, batches)
            schedule.step()
            bar.update(task, advance=1, description=f"training, loss {loss:.2f}")
            if time.monotonic() - saved > settings.checkpoint_seconds:
                save_checkpoint(training, key, {"step": step + 1}, student, {OPTIMIZER: optimizer})
                saved = time.monotonic()
    remove_checkpoint(training)
    return student.eval()


def train_encoder_and_manager(
    specs: Mapping[str, SkillSpec],
    corpora: Path,
    out: Path,
    *,
    training: Path,
    settings: EncoderTraining,
    classifier: ClassifierTraining,
    judge: Path | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Encoder, ranker and manager, all of them in `out` or none; returns the ranker's figures and the manager's.

    Raises:
        MissingPartError: MiniLM, scikit-learn or matplotlib is not installed.
        DataError: see `train_encoder` and `training.train_manager`.
    """
    require_libraries()
    base = minilm()
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix=".training-") as folder:
        made = Path(folder)
        ranker = train_encoder(specs, corpora=corpora, base=base, out=made, training=training, settings=settings)
        encoder = load_encoder(DIALOGUE, made)
        manager = train_manager(specs, corpora=corpora, encoder=encoder, out=made, settings=classifier, judge=judge)
        for path in made.iterdir():
            path.replace(out / path.name)
    return ranker, manager
