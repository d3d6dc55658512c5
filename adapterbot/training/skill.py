"""Train one skill's adapter: one visible loop, resumable to the same result, nothing half-written.

Only the adapter learns; the loss is taken on the reply's tokens alone (Madotto et al. 2020, section 3.2).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from adapterbot.errors import SettingError, SpecError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.manager.router import Manager
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, save_adapter
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.checkpoint import Checkpoint, checkpoint_of, remove_checkpoint, save_checkpoint
from adapterbot.network.device import mixed_precision, on_fastest
from adapterbot.network.likelihood import perplexity, reply_nats
from adapterbot.reply.answer import Responder
from adapterbot.reply.style_heads import load_heads
from adapterbot.spec.tables import AdapterTable, SkillSpec
from adapterbot.training.card import write_card
from adapterbot.training.corpus import Corpus, load_corpus
from adapterbot.training.logistic import ByMeaning
from adapterbot.training.loop import LoopState, TrainingLoop
from adapterbot.training.progress import training_bar
from adapterbot.training.schedule import VALIDATION_REPLIES
from adapterbot.training.windows import training_rows, validation_rows
from adapterbot.turn import Prompt

CHECKPOINT_SECONDS = 5.0
REPORT_REPLIES = 1000  # scored before and after for the report
OPTIMIZER = "adamw"  # its moments' name in a checkpoint
BETAS = (0.9, 0.99)
DECAY = 0.01


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training did: perplexities on the validation replies without and with the adapter, and sample replies.

    `steps` of the `planned` updates were made; `best_epoch` (from 1) is the one whose weights were kept.
    """

    skill: str
    folder: Path
    before: float
    after: float
    parameters: int
    share: float  # of the backbone's parameters
    epochs: int
    tokens_per_second: float
    replies: tuple[tuple[str, str], ...] = ()
    origin: str = ""
    resumed_at: int = 0
    steps: int = 0
    planned: int = 0
    patience: int = 0
    best_epoch: int = 0

    @property
    def stopped_early(self) -> bool:
        """Whether validation stopped improving before all planned steps were done."""
        return self.steps < self.planned

    @property
    def ending(self) -> str:
        """Why the training ended, for people."""
        if not self.stopped_early:
            return f"all {self.planned:,} steps done; best epoch {self.best_epoch} of {self.epochs}"
        waited = f"{self.patience} epoch{'s' if self.patience > 1 else ''}"
        return (
            f"stopped at step {self.steps:,} of {self.planned:,}: validation has not improved for {waited}; "
            f"best epoch {self.best_epoch}"
        )


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
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainingResult:
    """Train `spec`'s adapter and write adapter.safetensors and README.md into `out/<skill>` (default: the user's home).

    A run that was killed goes on from its last checkpoint, with the same result as if it had not been; it writes one
    every `checkpoint_seconds` and after every epoch.

    Raises:
        SpecError: the skill has no adapter to train.
        SettingError: epochs or seed out of range.
        DataError: nothing usable to train on (file and line where one is at fault).
    """
    # Long: the fields of its result, one a line.
    epochs = _checked(spec, epochs, seed)
    corpus = load_corpus(spec, data, ByMeaning(backbone))
    training = AdapterTraining.prepare(spec, backbone, corpus, home.training / spec.name, epochs, seed)
    announce(corpus, len(training.loop.rows), sum(len(row.ids) for row in training.loop.rows))
    resumed_at = training.loop.state.step
    with on_fastest(backbone.decoder, training.adapter):
        speed = training.fit(quiet, checkpoint_seconds)
        before, after = training.finish()
    adapter = training.adapter.file()
    result = TrainingResult(
        skill=spec.name,
        folder=(out or home.skills) / spec.name,
        before=before,
        after=after,
        parameters=training.adapter.parameter_count,
        share=training.adapter.parameter_count / backbone.parameter_count,
        epochs=training.loop.state.epoch,
        tokens_per_second=speed,
        replies=_replies(spec, backbone, adapter.scaled(spec.strength), home, seed),  # as the bot answers
        origin=corpus.origin,
        resumed_at=resumed_at,
        steps=training.loop.state.step,
        planned=training.loop.steps,
        patience=spec.train.patience,
        best_epoch=training.loop.state.best_epoch,
    )
    _write(result, spec, backbone, adapter, seed)
    remove_checkpoint(training.folder)
    return result


def _checked(spec: SkillSpec, epochs: int | None, seed: int) -> int:
    """The number of epochs, once the request is known to make sense."""
    if not spec.trainable:
        raise SpecError(f"skill {spec.name!r} is the backbone alone (adapter = false): there is nothing to train")
    if epochs is not None and not 1 <= epochs <= 1000:
        raise SettingError(f"epochs={epochs} is outside 1 to 1000")
    if not 0 <= seed < 2**31:
        raise SettingError(f"seed={seed} is outside 0 to {2**31 - 1}")
    return epochs or spec.train.epochs


def _write(result: TrainingResult, spec: SkillSpec, backbone: Backbone, adapter: AdapterFile, seed: int) -> None:
    """Adapter and card, each by rename."""
    metadata = {
        "skill": spec.name,
        "type": adapter.type,
        "backbone": backbone.fingerprint,
        "spec": spec.digest,
        "seed": str(seed),
        "perplexity_before": f"{result.before:.3f}",
        "perplexity_after": f"{result.after:.3f}",
        "data": result.origin,
    }
    save_adapter(result.folder / "adapter.safetensors", adapter.tensors, metadata)
    write_card(
        result.folder,
        spec,
        result.replies,
        parameters=result.parameters,
        share=result.share,
        backbone=backbone.name,
        fingerprint=backbone.fingerprint,
        origin=result.origin,
        epochs=result.epochs,
        before=result.before,
        after=result.after,
    )


@dataclass(slots=True)
class AdapterTraining:
    """The training of one adapter, and the folder of its checkpoint."""

    spec: SkillSpec
    backbone: Backbone
    adapter: Adapter
    valid: Sequence[Prompt]
    loop: TrainingLoop
    folder: Path
    key: Mapping[str, object]
    checkpoint: Checkpoint

    @classmethod
    def prepare(
        cls, spec: SkillSpec, backbone: Backbone, corpus: Corpus, folder: Path, epochs: int, seed: int
    ) -> AdapterTraining:
        """Rows, an adapter, and how far the same training was when it was stopped."""
        table = spec.adapter or AdapterTable()
        rows = training_rows(corpus, spec, backbone.tokenizer, backbone.positions, seed)
        valid = validation_rows(corpus.valid, spec, backbone.tokenizer, backbone.positions, REPORT_REPLIES)
        probe = valid[:: max(1, len(valid) // VALIDATION_REPLIES)]
        adapter = Adapter(backbone.shape, table, seed)
        key = {
            "spec": spec.digest,
            "corpus": corpus.digest,
            "backbone": backbone.fingerprint,
            "epochs": epochs,
            "seed": seed,
        }
        checkpoint = checkpoint_of(folder, key)
        checkpoint.restore_weights(adapter)
        optimizer = torch.optim.AdamW(adapter.parameters(), lr=spec.train.lr, betas=BETAS, weight_decay=DECAY)
        loop = TrainingLoop(
            learner=adapter,
            rows=rows,
            loss=lambda batch: reply_loss(backbone, adapter, batch),
            validate=lambda: perplexity(backbone, adapter.adapters(), probe),
            weights=adapter.tensors,
            optimizer=optimizer,
            rate=spec.train.lr,
            table=spec.train,
            epochs=epochs,
            seed=seed,
            remedy=f"lower train.lr ({spec.train.lr:g}) in skill.toml",
            state=LoopState(**checkpoint.progress),
            best=checkpoint.best or {name: tensor.clone() for name, tensor in adapter.tensors().items()},
        )
        return cls(spec, backbone, adapter, valid, loop, folder, key, checkpoint)

    def fit(self, quiet: bool, checkpoint_seconds: float) -> float:
        """Train to the end; returns tokens per second."""
        loop = self.loop
        self.checkpoint.restore_moments(self.adapter, {OPTIMIZER: loop.optimizer})  # on the device of this training
        tokens = 0
        started = time.monotonic()
        bar = training_bar(
            self.spec.name,
            "valid ppl",
            total=loop.steps,
            completed=loop.state.step,
            valid=loop.state.valid[-1] if loop.state.valid else None,
            disable=quiet,
        )
        with bar:
            task = bar.task_ids[0]

            def on_update(batch: Sequence[Prompt], loss: float) -> None:
                nonlocal tokens
                tokens += sum(len(row.ids) for row in batch)
                speed = tokens / (time.monotonic() - started)
                bar.update(task, advance=1, loss=f"{loss:.3f}", speed=f"{speed:,.0f}")

            loop.run(
                on_update,
                lambda: bar.update(task, valid=f"{loop.state.valid[-1]:.2f}"),
                save=self.save,
                checkpoint_seconds=checkpoint_seconds,
            )
        return tokens / max(time.monotonic() - started, 1e-9)

    def save(self) -> None:
        """Write the checkpoint."""
        optimizers = {OPTIMIZER: self.loop.optimizer}
        save_checkpoint(self.folder, self.key, asdict(self.loop.state), self.adapter, optimizers, self.loop.best)

    def finish(self) -> tuple[float, float]:
        """Take the best weights, as the file will hold them; perplexity on the validation replies without and with."""
        self.adapter.take({n: t.half().float() for n, t in self.loop.best.items()})
        before = perplexity(self.backbone, None, self.valid)
        return before, perplexity(self.backbone, self.adapter.adapters(), self.valid)


def reply_loss(backbone: Backbone, adapter: Adapter, batch: Sequence[Prompt]) -> Tensor:
    """Mean cross-entropy over the label positions of a batch."""
    with mixed_precision():
        return reply_nats(backbone, adapter.adapters(), batch).mean()


def _replies(
    spec: SkillSpec, backbone: Backbone, adapter: AdapterFile, home: Home, seed: int
) -> tuple[tuple[str, str], ...]:
    """(message, reply) for a few messages of the spec's own, as the bot will answer: what card and terminal show."""
    manager = Manager.sound(home, backbone)
    source = open_source(Opening(spec, home, manager.sentence_encoder if manager else None))
    responder = Responder(
        backbone,
        AdapterBank(backbone, {spec.name: adapter}),
        ranker=lambda: manager.ranker if manager else None,
        heads=load_heads(backbone, home),
    )
    messages = spec.sample_messages
    turns = []
    for i, message in enumerate(messages):
        history = History().add_user(message)
        turns.append(
            responder.prepare(spec, history, source.retrieve(history), spec.decode.override({"seed": seed + i}))
        )
    return tuple((message, answer.text) for message, answer in zip(messages, responder.answer(turns), strict=True))
