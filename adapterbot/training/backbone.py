"""Train a backbone from dialogue corpora: one visible loop, on one device or several, resumable after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import nn

from adapterbot.data.corpora import Splits
from adapterbot.errors import AdapterbotError, SettingError
from adapterbot.home import written_by_rename
from adapterbot.network.architectures import Architecture
from adapterbot.network.architectures.gpt2 import GPT2
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.backbone import Backbone, load_backbone, save_backbone
from adapterbot.network.checkpoint import claim, read_checkpoint, remove_checkpoint, save_checkpoint, signals_deferred
from adapterbot.network.device import accelerator_here, mixed_precision
from adapterbot.network.tokenizer import Tokenizer
from adapterbot.reply.safety import WordList
from adapterbot.training.bits_per_byte import bits_per_byte
from adapterbot.training.documents import digest_of, read_corpora, training_documents, validation_documents
from adapterbot.training.packing import Batch, Packed, PackedDecoder, pack
from adapterbot.training.progress import training_bar
from adapterbot.training.schedule import CLIP, FEWEST_STEPS, learning_rate
from adapterbot.training.vocabulary import train_vocabulary

CHECKPOINT_SECONDS = 60.0
PASSES = 8  # over the data, where no budget is given
VOCABULARY = 8192  # pieces, where the data allows so many
HEAD = 64  # width of an attention head, at least
WARMUP = 0.05  # share of the updates in which the rate rises
VALIDATIONS = 10  # along the way
PROBE = 8  # validation dialogues of each corpus along the way
FINAL = 100  # and at the end


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """How a backbone is made. `start` is one to go on from: its shape and vocabulary then count.

    `tokens` is the budget, `batch` how many rows of `positions` tokens an update has on each device.
    """

    start: str = ""
    tokens: int | None = None
    vocabulary: int | None = None
    width: int = 256
    layers: int = 8
    positions: int = 512
    batch: int = 8
    lr: float = 1e-3
    seed: int = 0


@dataclass(slots=True)
class PretrainingState:
    """How far a pretraining is: `step` counts updates.

    Between the first change of a weight and `advance` it is not `whole`, and must not be saved: an error there (memory
    that ran out) leaves the last file. Signals wait meanwhile (`signals_deferred`).
    """

    step: int = 0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    whole: bool = True

    def advance(self, tokens: int, seconds: float) -> None:
        """One update is done."""
        self.step += 1
        self.tokens += tokens
        self.seconds += seconds
        self.whole = True

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / max(self.seconds, 1e-9)


@dataclass(frozen=True, slots=True)
class PretrainingResult:
    """What a pretraining did; `bits_per_byte` by corpus."""

    folder: Path
    parameters: int
    tokens: int
    tokens_per_second: float
    resumed_at: int
    bits_per_byte: Mapping[str, float]


def pretrain(
    data: Path,
    out: Path,
    settings: PretrainSettings,
    *,
    quiet: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> PretrainingResult:
    """Train a backbone on the corpora in `data` and write a model folder to `out`.

    A run that was killed goes on from its last checkpoint (at most `checkpoint_seconds` old) when the same call is made
    again.

    Raises:
        DataError: nothing to learn from, a bad line (file:line), or a vocabulary larger than the data allows.
        WeightsError: `out` holds a checkpoint of another configuration.
        AdapterbotError: the loss is no number any more; the last good checkpoint stays.
    """
    training = Pretraining.prepare(data, out, settings, quiet, announce)
    resumed_at = training.state.step
    training.fit(checkpoint_seconds)
    return training.finish(resumed_at)


@dataclass(slots=True)
class Pretraining:
    """Everything one pretraining loop looks at. `batch` is rows per update and process."""

    accelerator: Any
    corpora: Mapping[str, Splits]
    tokenizer: Tokenizer
    decoder: Architecture
    settings: PretrainSettings
    out: Path
    quiet: bool
    announce: Callable[[str], None]
    packed: Packed
    batch: int
    optimizer: torch.optim.Optimizer
    state: PretrainingState
    key: Mapping[str, Any]

    @classmethod
    def prepare(
        cls, data: Path, out: Path, settings: PretrainSettings, quiet: bool, announce: Callable[[str], None]
    ) -> Pretraining:
        """Corpora, vocabulary and model, and what a checkpoint of the same run says of them."""
        accelerator = accelerator_here()
        corpora = read_corpora(data, WordList().quick())
        work = out / "checkpoint"
        key = {"corpora": digest_of(corpora), **asdict(settings)}
        with accelerator.main_process_first():
            if accelerator.is_main_process:
                claim(work, key)
            tokenizer, decoder = _model(settings, corpora, work)
        decoder.to(accelerator.device)
        optimizer = torch.optim.AdamW(decoder.parameters(), lr=settings.lr, betas=(0.9, 0.95), weight_decay=0.1)
        checkpoint = read_checkpoint(work)
        checkpoint.restore_weights(decoder)
        checkpoint.restore_moments(decoder, {"adam": optimizer})
        positions = min(decoder.shape.positions, settings.positions)
        dialogues = [d for splits in corpora.values() for d in splits["train"]]
        packed = pack(training_documents(dialogues, positions), tokenizer, positions, settings.seed)
        batch = max(1, min(settings.batch, len(packed.rows) // (FEWEST_STEPS * accelerator.num_processes)))
        budget = settings.tokens or PASSES * packed.tokens
        steps = max(1, round(budget / (packed.fill * batch * accelerator.num_processes)))
        state = PretrainingState(**{"steps": steps, **checkpoint.progress})
        announce(f"{len(dialogues):,} dialogues of {len(corpora)} corpora, {packed.tokens:,} tokens")
        announce(f"{decoder.parameter_count:,} parameters, {tokenizer.size:,} pieces")
        if state.step:
            announce(f"resumed at step {state.step} of {state.steps}")
        parts = (packed, batch, optimizer, state, key)
        return cls(accelerator, corpora, tokenizer, decoder, settings, out, quiet, announce, *parts)

    @property
    def work(self) -> Path:
        """The folder of what is needed to go on."""
        return self.out / "checkpoint"

    def fit(self, checkpoint_seconds: float) -> None:
        """Train until the budget is used up."""
        state = self.state
        network: nn.Module = self.accelerator.prepare(PackedDecoder(self.decoder).train())
        tokens = round(self.packed.fill * self.batch * self.accelerator.num_processes)
        self._save()  # a place that cannot be written shows now, not after the work
        saved = time.monotonic()
        try:
            with self._progress() as bar:
                while state.step < state.steps:
                    started = time.monotonic()
                    loss = self._gradients(network, self._batch())
                    with signals_deferred():
                        self._update()
                        state.advance(tokens, time.monotonic() - started)
                    self._note(loss, bar)
                    if time.monotonic() - saved > checkpoint_seconds:
                        self._save()
                        saved = time.monotonic()
        finally:  # Ctrl-C loses nothing; nor does a loss that is no number, which is seen before the weights change
            self._save()

    def _batch(self) -> Batch:
        """This process's rows of the next update."""
        first = (self.state.step * self.accelerator.num_processes + self.accelerator.process_index) * self.batch
        rows = self.packed.drawn(range(first, first + self.batch), self.settings.seed)
        return self.packed.batch(rows, self.tokenizer.separator)

    def _gradients(self, network: nn.Module, batch: Batch) -> float:
        """Compute the gradients of one update; returns the loss in nats per learnt token."""
        with self.accelerator.autocast():
            loss = network(batch.to(self.accelerator.device))
        self.decoder.zero_grad()
        self.accelerator.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.decoder.parameters(), CLIP)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise AdapterbotError(
                f"the loss is {float(loss.detach())} at step {self.state.step}: give a lower --lr than "
                f"{self.settings.lr:g}; the last good checkpoint stays in {self.work}"
            )
        return float(loss.detach())

    def _update(self) -> None:
        """Change the weights."""
        self.state.whole = False
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * learning_rate(self.state.step, self.state.steps, WARMUP)
        self.optimizer.step()

    def _note(self, loss: float, bar: Progress) -> None:
        """Show one update, and ten times in a run how good the model is by then."""
        state = self.state
        bar.update(bar.task_ids[0], completed=state.step, loss=f"{loss:.3f}", speed=f"{state.speed:,.0f}")
        if state.step % max(1, state.steps // VALIDATIONS) == 0:
            scores = self._score(PROBE)
            mean = sum(scores.values()) / len(scores)
            bar.update(bar.task_ids[0], valid=f"{mean:.3f}")
            self.announce(f"step {state.step}/{state.steps}: loss {loss:.3f}, validation {mean:.3f} bits per byte")

    def _score(self, most: int) -> dict[str, float]:
        """Bits per byte on at most `most` validation dialogues of each corpus."""
        scores = {}
        backbone = Backbone("", self.decoder, self.tokenizer, "")
        for name, splits in self.corpora.items():
            valid = splits["valid"]
            chosen = valid[:: max(1, len(valid) // most)][:most]
            with mixed_precision():
                scores[name] = bits_per_byte(backbone, validation_documents(chosen, self.decoder.shape.positions))
        return scores

    def _save(self) -> None:
        if self.accelerator.is_main_process and self.state.whole:
            save_checkpoint(self.work, self.key, asdict(self.state), self.decoder, {"adam": self.optimizer})

    def finish(self, resumed_at: int) -> PretrainingResult:
        """Write the model folder; the checkpoint goes last."""
        state, decoder = self.state, self.decoder
        scores = self._score(FINAL)
        decoder.cpu()
        if self.accelerator.is_main_process:
            save_backbone(self.out, decoder, self.tokenizer, {"tokens": str(state.tokens)})
            remove_checkpoint(self.work)
        self.accelerator.wait_for_everyone()
        return PretrainingResult(self.out, decoder.parameter_count, state.tokens, state.speed, resumed_at, scores)

    def _progress(self) -> Progress:
        return training_bar(
            "backbone",
            "bits per byte",
            total=self.state.steps,
            completed=self.state.step,
            valid=None,
            disable=self.quiet or not self.accelerator.is_main_process,
        )


def _model(settings: PretrainSettings, corpora: Mapping[str, Splits], work: Path) -> tuple[Tokenizer, Architecture]:
    """Vocabulary and first weights: those of `start`, else learnt and drawn."""
    if settings.start and settings.vocabulary:
        raise SettingError("a backbone to go on from brings its vocabulary: leave out the size, or the backbone")
    if settings.start:
        start = load_backbone(settings.start, dtype=torch.float32)
        return start.tokenizer, start.decoder.requires_grad_(True)
    if (work / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_folder(work)
    else:
        texts = (text for splits in corpora.values() for dialogue in splits["train"] for text in dialogue.texts)
        tokenizer = train_vocabulary(texts, settings.vocabulary or VOCABULARY, exact=settings.vocabulary is not None)
        with written_by_rename(work / "tokenizer.json") as temporary:
            temporary.write_text(tokenizer.to_json(), encoding="utf-8")
    width = settings.width
    heads = next(count for count in range(max(1, width // HEAD), 0, -1) if width % count == 0)
    decoder = GPT2(Shape(tokenizer.size, settings.positions, width, settings.layers, heads, 4 * width))
    decoder.draw(torch.Generator().manual_seed(settings.seed))
    return tokenizer, decoder
