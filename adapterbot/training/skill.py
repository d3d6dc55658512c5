"""Train one skill's adapter: one visible loop, resumable to the same result, nothing half-written.

Only the adapter learns; the loss is taken on the reply's tokens alone (Madotto et al. 2020, section 3.2).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from adapterbot.errors import SettingError, SpecError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.manager.router import Manager
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, load_adapter, save_adapter
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone, fingerprint_of
from adapterbot.network.checkpoint import Checkpoint, checkpoint_of, remove_checkpoint, save_checkpoint
from adapterbot.network.device import on_fastest
from adapterbot.reply.answer import Responder
from adapterbot.reply.style_heads import load_heads
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import AdapterTable, SkillSpec
from adapterbot.training.card import write_card
from adapterbot.training.corpus import Corpus, load_corpus
from adapterbot.training.logistic import ByMeaning
from adapterbot.training.loop import LoopState, TrainingLoop
from adapterbot.training.objective import Objective, Scores, objective
from adapterbot.training.progress import training_bar
from adapterbot.training.schedule import VALIDATION_REPLIES

CHECKPOINT_SECONDS = 30.0
OPTIMIZER = "adamw"  # its moments' name in a checkpoint
BETAS = (0.9, 0.99)
DECAY = 0.01


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training did: how likely the validation replies are without and with the adapter, and sample replies.

    `tokens_per_second` counts all tokens of the dialogues, `learnt_per_second` those of replies.
    `steps` of the `planned` updates were made; `best_epoch` (from 1) is the one whose weights were kept.
    """

    skill: str
    folder: Path
    before: float
    after: float
    bits_before: float  # per byte of the replies
    bits_after: float
    parameters: int
    share: float  # of the backbone's parameters
    epochs: int
    tokens_per_second: float
    learnt_per_second: float
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
    start = start_of(spec, backbone, home)
    training = AdapterTraining.prepare(spec, backbone, corpus, home.training / spec.name, epochs, seed, start)
    announce(corpus, len(training.loop.rows), training.objective.tokens(training.loop.rows)[0])
    resumed_at = training.loop.state.step
    with on_fastest(backbone.decoder, training.adapter):
        speed, learnt = training.fit(quiet, checkpoint_seconds)
        before, after = training.finish()
    adapter = training.adapter.file()
    result = TrainingResult(
        skill=spec.name,
        folder=(out or home.skills) / spec.name,
        before=before.perplexity,
        after=after.perplexity,
        bits_before=before.bits_per_byte,
        bits_after=after.bits_per_byte,
        parameters=training.adapter.parameter_count,
        share=training.adapter.parameter_count / backbone.parameter_count,
        epochs=training.loop.state.epoch,
        tokens_per_second=speed,
        learnt_per_second=learnt,
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
        "bits_per_byte_before": f"{result.bits_before:.4f}",
        "bits_per_byte_after": f"{result.bits_after:.4f}",
        "data": result.origin,
        **{name: adapter.metadata[name] for name in ("on",)},
        **({"start": spec.train.start} if spec.train.start else {}),
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
    objective: Objective
    loop: TrainingLoop
    folder: Path
    key: Mapping[str, object]
    checkpoint: Checkpoint

    @classmethod
    def prepare(
        cls,
        spec: SkillSpec,
        backbone: Backbone,
        corpus: Corpus,
        folder: Path,
        epochs: int,
        seed: int,
        start: AdapterFile | None = None,
    ) -> AdapterTraining:
        """Rows, an adapter, and how far the same training was when it was stopped."""
        adapter = Adapter(backbone.shape, spec.adapter or AdapterTable(), seed)
        if start is not None:
            adapter.take(start.tensors)
        key = {
            "spec": spec.digest,
            "corpus": corpus.digest,
            "backbone": backbone.fingerprint,
            "epochs": epochs,
            "seed": seed,
            "start": fingerprint_of(start.tensors) if start is not None else "",
        }
        checkpoint = checkpoint_of(folder, key)
        if not checkpoint.key:
            remove_checkpoint(folder)
        checkpoint.restore_weights(adapter)
        aim = objective(spec, backbone, adapter, corpus, folder, seed)
        probe = aim.valid[:: max(1, len(aim.valid) // VALIDATION_REPLIES)]
        optimizer = torch.optim.AdamW(adapter.parameters(), lr=spec.train.lr, betas=BETAS, weight_decay=DECAY)
        loop = TrainingLoop(
            learner=adapter,
            rows=aim.train,
            loss=aim.loss,
            validate=lambda: aim.score(aim.adapters, probe).perplexity,
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
        return cls(spec, backbone, adapter, aim, loop, folder, key, checkpoint)

    def fit(self, quiet: bool, checkpoint_seconds: float) -> tuple[float, float]:
        """Train to the end; returns tokens per second, all of them and those that are learnt."""
        loop = self.loop
        self.checkpoint.restore_moments(self.adapter, {OPTIMIZER: loop.optimizer})  # on the device of this training
        tokens = learnt = 0
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

            def on_update(batch: Sequence[Any], loss: float) -> None:
                nonlocal tokens, learnt
                every, labels = self.objective.tokens(batch)
                tokens, learnt = tokens + every, learnt + labels
                seconds = time.monotonic() - started
                speed = f"{tokens / seconds:,.0f} ({learnt / seconds:,.0f} of replies)"
                bar.update(task, advance=1, loss=f"{loss:.3f}", speed=speed)

            loop.run(
                on_update,
                lambda: bar.update(task, valid=f"{loop.state.valid[-1]:.2f}"),
                save=self.save,
                checkpoint_seconds=checkpoint_seconds,
            )
        seconds = max(time.monotonic() - started, 1e-9)
        return tokens / seconds, learnt / seconds

    def save(self) -> None:
        """Write the checkpoint."""
        optimizers = {OPTIMIZER: self.loop.optimizer}
        save_checkpoint(self.folder, self.key, asdict(self.loop.state), self.adapter, optimizers, self.loop.best)

    def finish(self) -> tuple[Scores, Scores]:
        """Take the best weights, as the file will hold them; scores of the validation replies without and with."""
        self.adapter.take({n: t.half().float() for n, t in self.loop.best.items()})
        aim = self.objective
        return aim.score(None, aim.valid), aim.score(aim.adapters, aim.valid)


def start_of(spec: SkillSpec, backbone: Backbone, home: Home) -> AdapterFile | None:
    """The trained adapter that `train.start` names; None where it names none.

    Raises:
        UnknownNameError: there is no such skill.
        SpecError: it has not been trained, or has another shape than the spec asks for.
    """
    start = spec.train.start
    if not start:
        return None
    folders = SkillFolders(home)
    path = folders.adapter_file(start)
    if path is None:
        folders.folder(start)  # tells a name that is none
        raise SpecError(f"train.start = {start!r} has no trained adapter yet; first: adapterbot train-skill {start}")
    file = load_adapter(path, backbone.shape, backbone.fingerprint)
    wanted = Adapter(backbone.shape, spec.adapter or AdapterTable())
    sizes = {name: tuple(tensor.shape) for name, tensor in file.tensors.items()}
    if (wanted.kind, wanted.on, wanted.sizes) != (file.type, file.on, sizes):
        raise SpecError(
            f"skill {spec.name!r} cannot start from {start!r}: its [adapter] asks for another type, size or `on` "
            f"than {path} has"
        )
    return file


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
