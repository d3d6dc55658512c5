"""Train a backbone from dialogue corpora: one visible loop, on one device or several, resumable after a kill.

Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for embeddings, norms and biases; a short warm-up, then
constant rates that fall to zero over the last part.
"""

# Long: one visible loop with all that it looks at.
from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import nn

from adapterbot.errors import AdapterbotError, SettingError
from adapterbot.home import written_by_rename
from adapterbot.network.architectures import Architecture
from adapterbot.network.architectures.gpt2 import GPT2
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.backbone import Backbone, load_backbone, save_backbone
from adapterbot.network.checkpoint import (
    claim,
    read_checkpoint,
    remove_checkpoint,
    save_checkpoint,
    signals_deferred,
)
from adapterbot.network.device import accelerator_here, can_compile, mixed_precision
from adapterbot.network.tokenizer import Tokenizer
from adapterbot.reply.safety import WordList
from adapterbot.training.bits_per_byte import bits_per_byte
from adapterbot.training.curve import write_curve
from adapterbot.training.documents import PretrainingCorpora, read_corpora, validation_documents
from adapterbot.training.optimizers import optimizers, rate
from adapterbot.training.packing import Batch, Packed, PackedDecoder
from adapterbot.training.passes import Passes
from adapterbot.training.progress import training_bar
from adapterbot.training.recipe import Recipe
from adapterbot.training.vocabulary import train_vocabulary

CHECKPOINT_SECONDS = 60.0
VALIDATIONS = 10  # along the way
PROBE = 8  # validation dialogues of each corpus along the way
FINAL = 100  # and at the end
CLIP = 1.0
WORTH_COMPILING = 1e13  # tokens times parameters: below that compiling takes longer than it saves
FEWEST_STEPS = 8  # a pass has at least so many updates: batches of small data are made smaller


@dataclass(slots=True)
class PretrainingState:
    """How far a pretraining is: `step` counts updates, `number` passes over the data, `row` the rows of this pass.

    Between the first change of a weight and `advance` it is not `whole`, and must not be saved: an error there (memory
    that ran out) leaves the last file. Signals wait meanwhile (`signals_deferred`).
    """

    step: int = 0
    number: int = 0
    row: int = 0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)
    whole: bool = True

    def advance(self, rows: int, tokens: int, seconds: float) -> None:
        """One update is done."""
        self.step += 1
        self.row += rows
        self.tokens += tokens
        self.seconds += seconds
        self.whole = True


@dataclass(frozen=True, slots=True)
class PretrainingResult:
    """What a pretraining did."""

    folder: Path
    parameters: int
    tokens: int
    tokens_per_second: float
    resumed_at: int
    removed: Mapping[str, int]
    bits_per_byte: Mapping[str, float]


def pretrain(
    data: Path,
    out: Path,
    recipe: Recipe,
    *,
    exact_vocabulary: bool = False,
    quiet: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> PretrainingResult:
    """Train a backbone on the corpora in `data` and write a model folder to `out`.

    A run that was killed goes on from its last checkpoint (at most `checkpoint_seconds` old) when the same
    call is made again.

    Raises:
        DataError: nothing to learn from, a bad line (file:line), or a vocabulary larger than the data allows.
        WeightsError: `out` holds a checkpoint of another configuration.
        AdapterbotError: the loss is no number any more; the last good checkpoint stays.
    """
    training = Pretraining.prepare(data, out, recipe, exact_vocabulary, quiet, announce)
    resumed_at = training.state.step
    training.fit(checkpoint_seconds)
    return training.finish(resumed_at)


@dataclass(slots=True)
class Pretraining:
    """Everything one pretraining loop looks at."""

    accelerator: Any
    corpora: PretrainingCorpora
    tokenizer: Tokenizer
    decoder: Architecture
    recipe: Recipe
    out: Path
    quiet: bool
    announce: Callable[[str], None]
    passes: Passes
    optimizers: dict[str, torch.optim.Optimizer]
    state: PretrainingState
    key: Mapping[str, Any]

    @classmethod
    def prepare(
        cls, data: Path, out: Path, recipe: Recipe, exact: bool, quiet: bool, announce: Callable[[str], None]
    ) -> Pretraining:
        """Corpora, vocabulary and model, and what a checkpoint of the same run says of them."""
        accelerator = accelerator_here()
        corpora = read_corpora(data, recipe.mixture, WordList().quick())
        work = out / "checkpoint"
        key = {"corpora": corpora.digest, **recipe.flat}
        with accelerator.main_process_first():
            if accelerator.is_main_process:
                claim(work, key)
            tokenizer, decoder = _model(recipe, corpora, work, exact, announce)
        decoder.to(accelerator.device)
        both = optimizers(decoder, recipe.pretrain)
        checkpoint = read_checkpoint(work)
        checkpoint.restore_weights(decoder)
        checkpoint.restore_moments(decoder, both)
        state = PretrainingState(**checkpoint.progress)
        read = sum(len(splits["train"]) for splits in corpora.splits.values())
        left = ", ".join(f"{count:,} {why}" for why, count in corpora.removed.items() if count)
        announce(f"{read:,} dialogues of {len(corpora.splits)} corpora" + (f" (cleaned: {left})" if left else ""))
        announce(f"{decoder.parameter_count:,} parameters, {tokenizer.size:,} pieces")
        if state.step:
            announce(f"resumed at step {state.step} of {state.steps}")
        positions = decoder.shape.positions
        passes = Passes(corpora, recipe, tokenizer, positions, work, accelerator)
        return cls(accelerator, corpora, tokenizer, decoder, recipe, out, quiet, announce, passes, both, state, key)

    @property
    def work(self) -> Path:
        """The folder of what is needed to go on."""
        return self.out / "checkpoint"

    def fit(self, checkpoint_seconds: float) -> None:
        """Train until the budget is used up."""
        state = self.state
        packed = self.passes.read(state.number)
        batch_size, budget = self._budget(packed)
        rows_per_update = batch_size * self.accelerator.num_processes
        last = math.ceil(budget / packed.tokens)
        self.passes.prefetch(state.number, last)
        state.steps = state.steps or max(1, round(budget / (packed.fill * rows_per_update)))
        network = self._network(budget)
        self._save()  # a place that cannot be written shows now, not after the work
        saved = time.monotonic()
        try:
            with self._progress() as bar:
                while state.step < state.steps:
                    started = time.monotonic()
                    if state.row + rows_per_update > len(packed.rows) and state.row:
                        state.number += 1
                        state.row = 0
                        self.passes.prefetch(state.number, last)
                        packed = self.passes.read(state.number)
                    loss = self._gradients(network, self._batch(packed, batch_size))
                    with signals_deferred():
                        self._update()
                        tokens = round(packed.fill * rows_per_update)
                        state.advance(rows_per_update, tokens, time.monotonic() - started)
                    self._note(loss, bar)
                    if time.monotonic() - saved > checkpoint_seconds:
                        self._save()
                        saved = time.monotonic()
        finally:  # Ctrl-C loses nothing; nor does a loss that is no number, which is seen before the weights change
            self._save()
            self.passes.stop()

    def _budget(self, packed: Packed) -> tuple[int, float]:
        """Rows per update and process, and the tokens to train on."""
        table = self.recipe.pretrain
        batch_size = max(1, min(table.batch, len(packed.rows) // (FEWEST_STEPS * self.accelerator.num_processes)))
        return batch_size, min(table.tokens, table.passes * packed.tokens)

    def _network(self, budget: float) -> nn.Module:
        """The decoder as the accelerator runs it, compiled where that pays."""
        model = PackedDecoder(self.decoder, self.recipe.pretrain.dropout)
        if budget * self.decoder.parameter_count > WORTH_COMPILING and can_compile(self.accelerator.device):
            model.compile()
        network: nn.Module = self.accelerator.prepare(model.train())
        return network

    def _batch(self, packed: Packed, batch_size: int) -> Batch:
        """This process's rows of the next update."""
        first = self.state.row + batch_size * self.accelerator.process_index
        rows = [row % len(packed.rows) for row in range(first, first + batch_size)]
        return packed.batch(rows, self.tokenizer.separator)

    def _gradients(self, network: nn.Module, batch: Batch) -> float:
        """Compute the gradients of one update; returns the loss in nats per learnt token."""
        with self.accelerator.autocast():
            loss = network(batch.to(self.accelerator.device))
        self.decoder.zero_grad()
        self.accelerator.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.decoder.parameters(), CLIP)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            table = self.recipe.pretrain
            raise AdapterbotError(
                f"the loss is {float(loss.detach())} at step {self.state.step}: lower muon_lr ({table.muon_lr:g}) and "
                f"adam_lr ({table.adam_lr:g}) in [pretrain]; the last good checkpoint stays in {self.work}"
            )
        return float(loss.detach())

    def _update(self) -> None:
        """Change the weights."""
        factor = rate(self.state.step, self.state.steps, self.recipe.pretrain)
        self.state.whole = False
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = factor * group.setdefault("full_lr", group["lr"])
            optimizer.step()

    def _note(self, loss: float, bar: Progress) -> None:
        """Show one update; ten times in a run, measure and keep what the curve shows."""
        state = self.state
        speed = state.tokens / max(state.seconds, 1e-9)
        bar.update(bar.task_ids[0], completed=state.step, loss=f"{loss:.3f}", speed=f"{speed:,.0f}")
        if state.step % max(1, state.steps // VALIDATIONS) == 0:
            scores = self._score(PROBE)
            mean = sum(scores.values()) / len(scores)
            row = {"step": state.step, "tokens": state.tokens, "seconds": round(state.seconds), "loss": round(loss, 4)}
            state.curve.append({**row, "bits_per_byte": round(mean, 4), **scores})
            bar.update(bar.task_ids[0], valid=f"{mean:.3f}")
            self.announce(f"step {state.step}/{state.steps}: loss {loss:.3f}, validation {mean:.3f} bits per byte")

    def _score(self, most: int) -> dict[str, float]:
        """Bits per byte on at most `most` validation dialogues of each corpus."""
        scores = {}
        backbone = Backbone("", self.decoder, self.tokenizer, "")
        for name, splits in self.corpora.splits.items():
            valid = splits["valid"]
            chosen = valid[:: max(1, len(valid) // most)][:most]
            with mixed_precision():
                documents = validation_documents(name, chosen, self.decoder.shape.positions)
                scores[name] = round(bits_per_byte(backbone, documents), 4)
        return scores

    def _save(self) -> None:
        if self.accelerator.is_main_process and self.state.whole:
            save_checkpoint(self.work, self.key, asdict(self.state), self.decoder, self.optimizers)

    def finish(self, resumed_at: int) -> PretrainingResult:
        """Write the model folder and the curve; the checkpoint goes last."""
        state = self.state
        decoder = self.decoder
        result = PretrainingResult(
            folder=self.out,
            parameters=decoder.parameter_count,
            tokens=state.tokens,
            tokens_per_second=state.tokens / max(state.seconds, 1e-9),
            resumed_at=resumed_at,
            removed=dict(self.corpora.removed),
            bits_per_byte=self._score(FINAL),
        )
        decoder.cpu()
        if self.accelerator.is_main_process:
            metadata = {"recipe": self.recipe.digest, "tokens": str(state.tokens)}
            save_backbone(self.out, decoder, self.tokenizer, metadata)
            write_curve(self.out, state.curve, result.bits_per_byte)
            remove_checkpoint(self.work)
        self.accelerator.wait_for_everyone()
        return result

    def _progress(self) -> Progress:
        state = self.state
        return training_bar(
            "backbone",
            "bits per byte",
            total=state.steps,
            completed=state.step,
            valid=state.curve[-1]["bits_per_byte"] if state.curve else None,
            disable=self.quiet or not self.accelerator.is_main_process,
        )


def _model(
    recipe: Recipe, corpora: PretrainingCorpora, work: Path, exact: bool, announce: Callable[[str], None]
) -> tuple[Tokenizer, Architecture]:
    """Vocabulary and first weights: those of `backbone.start`, else learnt and drawn."""
    table = recipe.backbone
    if table.start and exact:
        raise SettingError("a backbone to go on from brings its vocabulary: leave out the size, or the backbone")
    if table.start:
        start = load_backbone(table.start, dtype=torch.float32)
        announce(f"going on from {start.name}: its shape and vocabulary count, not the recipe's")
        return start.tokenizer, start.decoder.requires_grad_(True)
    if (work / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_folder(work)
    else:
        texts = (t.text for s in corpora.splits.values() for d in s["train"] for t in d.turns)
        tokenizer = train_vocabulary(texts, recipe.vocabulary.size, exact=exact)
        with written_by_rename(work / "tokenizer.json") as temporary:
            temporary.write_text(tokenizer.to_json(), encoding="utf-8")
    shape = Shape(tokenizer.size, table.positions, table.width, table.layers, table.heads, 4 * table.width)
    decoder = GPT2(shape)
    decoder.draw(torch.Generator().manual_seed(recipe.pretrain.seed))
    return tokenizer, decoder
