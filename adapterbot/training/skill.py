"""Train one skill's adapter: one visible loop, resumable to the same result, nothing half-written.

Only the adapter learns; the loss is taken on the reply's tokens alone (Madotto et al. 2020, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adapterbot.errors import SettingError, SpecError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.manager.router import Manager
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, save_adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.checkpoint import remove_checkpoint
from adapterbot.network.device import on_fastest
from adapterbot.reply.answer import Responder
from adapterbot.reply.style_heads import load_heads
from adapterbot.reply.weights import load_weights
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.adapter import AdapterTraining, start_of
from adapterbot.training.card import write_card
from adapterbot.training.corpus import Corpus, load_corpus
from adapterbot.training.logistic import by_meaning
from adapterbot.training.objective import Trees
from adapterbot.training.windows import training_trees, validation_trees
from adapterbot.training.workers import Workers

CHECKPOINT_SECONDS = 30.0
REPORT_REPLIES = 300  # scored before and after for the report


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
    start: str | None = None,
    out: Path | None = None,
    quiet: bool = False,
    announce: Callable[[Corpus, int, int], None] = lambda *_: None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    accumulate: int = 1,
) -> TrainingResult:
    """Train `spec`'s adapter and write adapter.safetensors and README.md into `out/<skill>` (default: the user's home).

    A run that was killed goes on from its last checkpoint, with the same result as if it had not been; it writes one
    every `checkpoint_seconds` and after every epoch. `start` names the skill whose adapter it starts from (None: as
    the spec says); its own name goes on training what it has. Batches go through memory in `accumulate` pieces; of
    several processes that train together (see `workers`) the first one announces, writes, and has sample replies.

    Raises:
        SpecError: the skill has no adapter to train.
        SettingError: epochs, seed or accumulate out of range.
        MissingPartError: there are several processes, and accelerate is not installed.
        DataError: nothing usable to train on (file and line where one is at fault).
    """
    # Long: the fields of its result, one a line.
    epochs = _checked(spec, epochs, seed, accumulate)
    workers = Workers.here()
    corpus = load_corpus(spec, data, by_meaning)
    start = spec.train.start if start is None else start
    started = start_of(spec, backbone, home, start)
    tokenizer, positions = backbone.tokenizer, backbone.positions
    trees = Trees(
        training_trees(corpus, spec, tokenizer, positions, seed),
        validation_trees(corpus.valid, spec, tokenizer, positions, REPORT_REPLIES),
        corpus.digest,
    )
    folder = home.training / spec.name
    training = AdapterTraining.prepare(spec, backbone, trees, folder, epochs, seed, started, workers, accumulate)
    if workers.is_first:
        announce(corpus, len(training.loop.rows), training.objective.tokens(training.loop.rows)[0])
    resumed_at = training.loop.state.step
    with on_fastest(backbone.decoder, training.adapter):
        speed, learnt = training.fit(quiet or not workers.is_first, checkpoint_seconds)
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
        replies=_replies(spec, backbone, adapter.scaled(spec.strength), home, seed) if workers.is_first else (),
        origin=corpus.origin,
        resumed_at=resumed_at,
        steps=training.loop.state.step,
        planned=training.loop.steps,
        patience=spec.train.patience,
        best_epoch=training.loop.state.best_epoch,
    )
    if workers.is_first:
        _write(result, spec, backbone, adapter, seed, start)
    workers.wait()
    if workers.is_first:
        remove_checkpoint(training.folder)
    return result


def _checked(spec: SkillSpec, epochs: int | None, seed: int, accumulate: int) -> int:
    """The number of epochs, once the request is known to make sense."""
    if not spec.trainable:
        raise SpecError(f"skill {spec.name!r} is the backbone alone (adapter = false): there is nothing to train")
    if epochs is not None and not 1 <= epochs <= 1000:
        raise SettingError(f"epochs={epochs} is outside 1 to 1000")
    if not 0 <= seed < 2**31:
        raise SettingError(f"seed={seed} is outside 0 to {2**31 - 1}")
    if not 1 <= accumulate <= 1024:
        raise SettingError(f"accumulate={accumulate} is outside 1 to 1024")
    return epochs or spec.train.epochs


def _write(
    result: TrainingResult, spec: SkillSpec, backbone: Backbone, adapter: AdapterFile, seed: int, start: str
) -> None:
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
        **({"start": start} if start else {}),
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


def _replies(
    spec: SkillSpec, backbone: Backbone, adapter: AdapterFile, home: Home, seed: int
) -> tuple[tuple[str, str], ...]:
    """(message, reply) for a few messages of the spec's own, as the bot will answer: what card and terminal show."""
    manager = Manager.sound(home)
    source = open_source(Opening(spec, home, manager.sentences if manager else None))
    responder = Responder(
        backbone,
        AdapterBank(backbone, {spec.name: adapter}),
        ranker=lambda: manager.ranker if manager else None,
        heads=load_heads(home),
        weights=load_weights(home),
    )
    messages = spec.sample_messages
    turns = []
    for i, message in enumerate(messages):
        history = History().add_user(message)
        turns.append(
            responder.prepare(spec, history, source.retrieve(history), spec.decode.override({"seed": seed + i}))
        )
    return tuple((message, answer.text) for message, answer in zip(messages, responder.answer(turns), strict=True))
