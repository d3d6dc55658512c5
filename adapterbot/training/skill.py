"""Train one skill's adapter: one visible loop, resumable to the same result, nothing half-written.

Only the adapter learns; the loss is taken on the reply's tokens alone (Madotto et al. 2020, section 3.2).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from adapterbot.engine.generate import generate
from adapterbot.errors import AdapterbotError, SettingError, SpecError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import open_source
from adapterbot.manager.router import Manager
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, save_adapter
from adapterbot.network.adapters.residual import Adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.checkpoint import Checkpoint
from adapterbot.network.device import mixed_precision, on_fastest
from adapterbot.network.likelihood import perplexity, reply_nats
from adapterbot.reply.grounding import Evidence
from adapterbot.reply.openings import request
from adapterbot.reply.prompt import encode
from adapterbot.reply.rerank import best_first
from adapterbot.reply.style_heads import load_heads
from adapterbot.spec.tables import AdapterTable, SkillSpec
from adapterbot.training.card import Trained, own_messages, write_card
from adapterbot.training.corpus import Corpus, load_corpus
from adapterbot.training.logistic import ByMeaning
from adapterbot.training.schedule import CLIP, FEWEST_STEPS, VALIDATION_REPLIES, batches, learning_rate
from adapterbot.training.windows import training_rows, validation_rows
from adapterbot.turn import Prompt

CHECKPOINT_SECONDS = 5.0
REPORT_REPLIES = 1000  # scored before and after for the report


def train_skill(
    spec: SkillSpec,
    backbone: Backbone,
    *,
    home: Home,
    data: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    quiet: bool = False,
    announce: Callable[[Corpus, int, int], None] = lambda *_: None,
) -> Trained:
    """Train `spec`'s adapter and write adapter.safetensors and README.md into `out/<skill>` (default: the user's home).

    A run that was killed goes on from its last checkpoint, with the same result as if it had not been.

    Raises:
        SpecError: the skill has no adapter to train.
        SettingError: epochs or seed out of range.
        DataError: nothing usable to train on (file and line where one is at fault).
    """
    epochs = _checked(spec, epochs, seed)
    corpus = load_corpus(spec, data, ByMeaning(backbone))
    run = _prepare(spec, backbone, corpus, home, epochs, seed, quiet)
    announce(corpus, len(run.rows), sum(len(row.ids) for row in run.rows))
    resumed_at = run.checkpoint.step
    with on_fastest(backbone.decoder, run.adapter):
        speed = run.fit()
        scores = run.best()
    best = AdapterFile({n: t.clone() for n, t in run.adapter.tensors().items()}, {})
    replies = _replies(spec, backbone, best.scaled(spec.strength), home, seed)  # as the bot answers
    folder = (out or home.skills) / spec.name
    trained = _report(run, folder, scores, replies, corpus.origin, speed, resumed_at)
    _write(trained, spec, backbone, best, seed)
    run.checkpoint.remove()
    return trained


def _report(
    run: Run,
    folder: Path,
    scores: tuple[float, float],
    replies: tuple[tuple[str, str], ...],
    origin: str,
    speed: float,
    resumed_at: int,
) -> Trained:
    """What the training did; `scores` are the perplexities without and with the best weights."""
    return Trained(
        skill=run.spec.name,
        folder=folder,
        before=scores[0],
        after=scores[1],
        parameters=run.adapter.parameter_count,
        share=run.adapter.parameter_count / run.backbone.parameter_count,
        epochs=run.checkpoint.epoch,
        tokens_per_second=speed,
        replies=replies,
        origin=origin,
        resumed_at=resumed_at,
    )


def _prepare(
    spec: SkillSpec, backbone: Backbone, corpus: Corpus, home: Home, epochs: int, seed: int, quiet: bool
) -> Run:
    """Rows, a fresh adapter, and what a checkpoint of the same run says of them."""
    table = spec.adapter or AdapterTable()
    rows = training_rows(corpus, spec, backbone.tokenizer, backbone.positions, seed)
    valid = validation_rows(corpus.valid, spec, backbone.tokenizer, backbone.positions, REPORT_REPLIES)
    adapter = Adapter(backbone.shape, table.bottleneck, table.first_layer, seed, table.copying)
    key = f"{spec.digest} {corpus.digest} {backbone.fingerprint} {epochs} {seed}"
    checkpoint = Checkpoint.open(home.training / spec.name, key, adapter)
    return Run(spec, backbone, adapter, checkpoint, rows, valid, epochs, seed, quiet)


def _checked(spec: SkillSpec, epochs: int | None, seed: int) -> int:
    """The number of epochs, once the request is known to make sense."""
    if not spec.trainable:
        raise SpecError(f"skill {spec.name!r} is the backbone alone (adapter = false): there is nothing to train")
    if epochs is not None and not 1 <= epochs <= 1000:
        raise SettingError(f"epochs={epochs} is outside 1 to 1000")
    if not 0 <= seed < 2**31:
        raise SettingError(f"seed={seed} is outside 0 to {2**31 - 1}")
    return epochs or spec.train.epochs


def _write(trained: Trained, spec: SkillSpec, backbone: Backbone, best: AdapterFile, seed: int) -> None:
    metadata = {
        "skill": spec.name,
        "type": "residual",
        "backbone": backbone.fingerprint,
        "spec": spec.digest,
        "seed": str(seed),
        "perplexity_before": f"{trained.before:.3f}",
        "perplexity_after": f"{trained.after:.3f}",
        "data": trained.origin,
    }
    save_adapter(trained.folder / "adapter.safetensors", best.tensors, metadata)
    write_card(trained, spec, backbone)


@dataclass(slots=True)
class Run:
    """Everything one training loop looks at."""

    spec: SkillSpec
    backbone: Backbone
    adapter: Adapter
    checkpoint: Checkpoint
    rows: Sequence[Prompt]
    valid: Sequence[Prompt]
    epochs: int
    seed: int
    quiet: bool

    def fit(self) -> float:
        """Train until the epochs are over or validation has not improved for `patience` epochs; tokens per second."""
        state = self.checkpoint
        train = self.spec.train
        size = max(1, min(train.batch, len(self.rows) // FEWEST_STEPS))
        per_epoch = math.ceil(len(self.rows) / size)
        optimizer = state.optimizer(self.adapter, train.lr)
        probe = self.valid[:: max(1, len(self.valid) // VALIDATION_REPLIES)]
        state.save(optimizer)  # a place that cannot be written shows now, not after the work
        tokens = 0
        started = time.monotonic()
        saved = time.monotonic()
        with self._progress(per_epoch) as bar:
            task = bar.task_ids[0]
            while state.epoch < self.epochs and state.stale < train.patience:
                for batch in batches(self.rows, size, f"{self.seed} {state.epoch}", state.step % per_epoch):
                    for group in optimizer.param_groups:
                        group["lr"] = train.lr * learning_rate(state.step, per_epoch * self.epochs, train.warmup)
                    loss = self._step(optimizer, batch)
                    state.step += 1
                    tokens += sum(len(row.ids) for row in batch)
                    bar.update(
                        task, advance=1, loss=f"{loss:.3f}", speed=f"{tokens / (time.monotonic() - started):,.0f}"
                    )
                    if time.monotonic() - saved > CHECKPOINT_SECONDS and state.step % per_epoch:
                        state.save(optimizer)
                        saved = time.monotonic()
                state.end_epoch(perplexity(self.backbone, self.adapter.residual(), probe))
                state.save(optimizer)
                bar.update(task, valid=f"{state.valid[-1]:.2f}")
        return tokens / max(time.monotonic() - started, 1e-9)

    def best(self) -> tuple[float, float]:
        """Take the best weights, as the file will hold them; perplexity on the validation replies without and with."""
        self.adapter.take({n: t.half().float() for n, t in self.checkpoint.best.items()})
        bare = None
        adapted = self.adapter.residual()
        return perplexity(self.backbone, bare, self.valid), perplexity(self.backbone, adapted, self.valid)

    def _step(self, optimizer: torch.optim.Optimizer, batch: Sequence[Prompt]) -> float:
        """One update; returns the mean loss in nats per reply token."""
        loss = reply_loss(self.backbone, self.adapter, batch)
        if not torch.isfinite(loss):
            raise AdapterbotError(
                f"the loss is {float(loss.detach())} at step {self.checkpoint.step}; lower train.lr "
                f"({self.spec.train.lr:g}) in skill.toml"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.adapter.parameters(), CLIP)
        optimizer.step()
        return float(loss.detach())

    def _progress(self, per_epoch: int) -> Progress:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.completed}/{task.total}"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("valid ppl {task.fields[valid]}"),
            TextColumn("{task.fields[speed]} tokens/s"),
            TimeRemainingColumn(),
            disable=self.quiet,
        )
        last = f"{self.checkpoint.valid[-1]:.2f}" if self.checkpoint.valid else "-"
        bar.add_task(
            self.spec.name,
            total=per_epoch * self.epochs,
            completed=self.checkpoint.step,
            loss="-",
            speed="-",
            valid=last,
        )
        return bar


def reply_loss(backbone: Backbone, adapter: Adapter, batch: Sequence[Prompt]) -> Tensor:
    """Mean cross-entropy over the label positions of a batch."""
    with mixed_precision():
        return reply_nats(backbone, adapter.residual(), batch).mean()


def _replies(
    spec: SkillSpec, backbone: Backbone, adapter: AdapterFile, home: Home, seed: int
) -> tuple[tuple[str, str], ...]:
    """(message, reply) for a few messages of the spec's own: what the card and the terminal show."""
    bank = AdapterBank(backbone.shape, {spec.name: adapter})
    source = open_source(spec, home, None)
    manager = Manager.sound(home, backbone)
    heads = load_heads(backbone, home)
    ranker = manager.ranker if manager else None
    style = heads.style(spec.rerank) if heads and spec.rerank else None
    shown = []
    for i, message in enumerate(own_messages(spec)):
        facts = [fact.text for fact in source.retrieve(History().add_user(message))]
        size = backbone.positions
        reserve = spec.decode.max_tokens
        prompt = encode(backbone.tokenizer, facts, [message], positions=size, reserve=reserve)
        asked = request(backbone.tokenizer, prompt, spec.name, spec.decode, seed + i, facts, [message])
        drafts = generate(backbone, bank, [asked])[0]
        evidence = Evidence.of(spec, facts, backbone.tokenizer.everyday)
        shown.append((message, best_first(drafts, [message], ranker, evidence, style)[0].text))
    return tuple(shown)
