"""Train a backbone from dialogue corpora: one visible loop, on one device or several, resumable after a kill.

Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for embeddings, norms and biases; a short warm-up, then
constant rates that fall to zero over the last part.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from adapterbot.errors import AdapterbotError, SettingError
from adapterbot.home import written_by_rename
from adapterbot.network.architectures.gpt2 import Decoder
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.backbone import Backbone, load_backbone, save_backbone
from adapterbot.network.device import accelerator_here, can_compile, mixed_precision
from adapterbot.network.tokenizer import Tokenizer
from adapterbot.reply.safety import WordList
from adapterbot.training.bits_per_byte import bits_per_byte
from adapterbot.training.curve import write_curve
from adapterbot.training.documents import Corpora, common_words, read_corpora, training_documents, validation_documents
from adapterbot.training.optimizers import initialised, optimizers, rate
from adapterbot.training.packing import Batch, Packed, PackedDecoder, load_packed, pack
from adapterbot.training.prefetch import Ahead, spare_cores
from adapterbot.training.recipe import Recipe
from adapterbot.training.snapshot import Snapshot, claim, open_snapshot, remove_snapshot, undisturbed
from adapterbot.training.vocabulary import train_vocabulary

SNAPSHOT_SECONDS = 60.0
VALIDATIONS = 10  # along the way
PROBE = 8  # validation dialogues of each corpus along the way
FINAL = 100  # and at the end
CLIP = 1.0
WORTH_COMPILING = 1e13  # tokens times parameters: below that compiling takes longer than it saves
FEWEST_STEPS = 8  # a pass has at least so many updates: batches of small data are made smaller


@dataclass(frozen=True, slots=True)
class Pretrained:
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
) -> Pretrained:
    """Train a backbone on the corpora in `data` and write a model folder to `out`.

    A run that was killed goes on from its last snapshot (at most a minute old) when the same call is made again.

    Raises:
        DataError: nothing to learn from, a bad line (file:line), or a vocabulary larger than the data allows.
        WeightsError: `out` holds a checkpoint of another configuration.
        AdapterbotError: the loss is no number any more; the last good checkpoint stays.
    """
    run = Run.prepare(data, out, recipe, exact_vocabulary, quiet, announce)
    resumed_at = run.at.step
    run.fit()
    return run.finish(resumed_at)


@dataclass(slots=True)
class Run:
    """Everything one pretraining loop looks at."""

    accelerator: Any
    corpora: Corpora
    tokenizer: Tokenizer
    decoder: Decoder
    recipe: Recipe
    out: Path
    quiet: bool
    announce: Callable[[str], None]
    common: Callable[[str], bool]
    optimizers: dict[str, torch.optim.Optimizer]
    at: Snapshot

    @classmethod
    def prepare(
        cls, data: Path, out: Path, recipe: Recipe, exact: bool, quiet: bool, announce: Callable[[str], None]
    ) -> Run:
        """Corpora, vocabulary and model, and what a snapshot of the same run says of them."""
        accelerator = accelerator_here()
        corpora = read_corpora(data, recipe.mixture, WordList().quick())
        work = out / "checkpoint"
        with accelerator.main_process_first():
            if accelerator.is_main_process:
                claim(work, {"corpora": corpora.digest, **recipe.flat})
            tokenizer, decoder = _model(recipe, corpora, work, exact, announce)
        decoder.to(accelerator.device)
        both = optimizers(decoder, recipe.pretrain)
        at = open_snapshot(work, decoder, both)
        read = sum(len(splits["train"]) for splits in corpora.splits.values())
        left = ", ".join(f"{count:,} {why}" for why, count in corpora.removed.items() if count)
        announce(f"{read:,} dialogues of {len(corpora.splits)} corpora" + (f" (cleaned: {left})" if left else ""))
        announce(f"{decoder.parameter_count:,} parameters, {tokenizer.size:,} pieces")
        if at.step:
            announce(f"resumed at step {at.step} of {at.steps}")
        common = common_words(corpora)
        return cls(accelerator, corpora, tokenizer, decoder, recipe, out, quiet, announce, common, both, at)

    @property
    def work(self) -> Path:
        """The folder of what is needed to go on."""
        return self.out / "checkpoint"

    def fit(self) -> None:
        """Train until the budget is used up."""
        at = self.at
        table = self.recipe.pretrain
        accelerator = self.accelerator
        packed = self._pass(at.number)
        size = max(1, min(table.batch, len(packed.rows) // (FEWEST_STEPS * accelerator.num_processes)))
        together = size * accelerator.num_processes
        budget = min(table.tokens, table.passes * packed.tokens)
        ahead = Ahead(self._packed, spare_cores() if accelerator.device.type == "cuda" else 0)
        last = math.ceil(budget / packed.tokens)
        if accelerator.is_main_process:
            ahead.need(at.number, last)
        at.steps = at.steps or max(1, round(budget / (packed.fill * together)))
        model = PackedDecoder(self.decoder, table.dropout)
        if budget * self.decoder.parameter_count > WORTH_COMPILING and can_compile(accelerator.device):
            model.compile()
        network = accelerator.prepare(model.train())
        self._save()  # a place that cannot be written shows now, not after the work
        saved = time.monotonic()
        try:
            with self._progress() as bar:
                while at.step < at.steps:
                    started = time.monotonic()
                    if at.row + together > len(packed.rows) and at.row:
                        at.number += 1
                        at.row = 0
                        if accelerator.is_main_process:
                            ahead.need(at.number, last)
                        packed = self._pass(at.number)
                    first = at.row + size * accelerator.process_index
                    rows = [r % len(packed.rows) for r in range(first, first + size)]
                    loss = self._gradients(network, packed.batch(rows, self.tokenizer.separator))
                    with undisturbed():
                        self._update()
                        at.advance(together, round(packed.fill * together), time.monotonic() - started)
                    self._note(loss, bar)
                    if time.monotonic() - saved > SNAPSHOT_SECONDS:
                        self._save()
                        saved = time.monotonic()
        finally:  # Ctrl-C loses nothing; nor does a loss that is no number, which is seen before the weights change
            self._save()
            ahead.stop()

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
                f"the loss is {float(loss.detach())} at step {self.at.step}: lower muon_lr ({table.muon_lr:g}) and "
                f"adam_lr ({table.adam_lr:g}) in [pretrain]; the last good checkpoint stays in {self.work}"
            )
        return float(loss.detach())

    def _update(self) -> None:
        """Change the weights."""
        factor = rate(self.at.step, self.at.steps, self.recipe.pretrain)
        self.at.whole = False
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = factor * group.setdefault("full_lr", group["lr"])
            optimizer.step()

    def _pass(self, number: int) -> Packed:
        """The packed rows of pass `number`; written once, read by all processes and after a kill."""
        with self.accelerator.main_process_first():
            packed = self._packed(number)
        if number:
            self._path(number - 1).unlink(missing_ok=True)
        return packed

    def _packed(self, number: int) -> Packed:
        """Read a pass; pack and write it where that has not been done."""
        packed = load_packed(self._path(number))
        if packed is None:
            table = self.recipe.pretrain
            documents = training_documents(
                self.corpora, self.recipe.mixture, self.decoder.shape.positions, table.seed, number, self.common
            )
            packed = pack(documents, self.tokenizer, self.decoder.shape.positions, table.seed + number)
            packed.save(self._path(number))
        return packed

    def _path(self, number: int) -> Path:
        return self.work / f"pass-{number}.safetensors"

    def _note(self, loss: float, bar: Progress) -> None:
        """Show one update; ten times in a run, measure and keep what the curve shows."""
        at = self.at
        speed = at.tokens / max(at.seconds, 1e-9)
        bar.update(bar.task_ids[0], completed=at.step, loss=f"{loss:.3f}", speed=f"{speed:,.0f}")
        if at.step % max(1, at.steps // VALIDATIONS) == 0:
            scores = self._score(PROBE)
            mean = sum(scores.values()) / len(scores)
            row = {"step": at.step, "tokens": at.tokens, "seconds": round(at.seconds), "loss": round(loss, 4)}
            at.curve.append({**row, "bits_per_byte": round(mean, 4), **scores})
            bar.update(bar.task_ids[0], valid=f"{mean:.3f}")
            self.announce(f"step {at.step}/{at.steps}: loss {loss:.3f}, validation {mean:.3f} bits per byte")

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
        if self.accelerator.is_main_process and self.at.whole:
            self.at.save(self.work, self.decoder, self.optimizers)

    def finish(self, resumed_at: int) -> Pretrained:
        """Write the model folder and the curve; the checkpoint goes last."""
        at, decoder = self.at, self.decoder
        done = Pretrained(
            folder=self.out,
            parameters=decoder.parameter_count,
            tokens=at.tokens,
            tokens_per_second=at.tokens / max(at.seconds, 1e-9),
            resumed_at=resumed_at,
            removed=dict(self.corpora.removed),
            bits_per_byte=self._score(FINAL),
        )
        decoder.cpu()
        if self.accelerator.is_main_process:
            save_backbone(self.out, decoder, self.tokenizer, {"recipe": self.recipe.digest, "tokens": str(at.tokens)})
            write_curve(self.out, at.curve, done.bits_per_byte)
            remove_snapshot(self.work)
        self.accelerator.wait_for_everyone()
        return done

    def _progress(self) -> Progress:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.completed}/{task.total}"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("bits per byte {task.fields[valid]}"),
            TextColumn("{task.fields[speed]} tokens/s"),
            TimeRemainingColumn(),
            disable=self.quiet or not self.accelerator.is_main_process,
        )
        at = self.at
        last = f"{at.curve[-1]['bits_per_byte']:.3f}" if at.curve else "-"
        bar.add_task("backbone", total=at.steps, completed=at.step, loss="-", speed="-", valid=last)
        return bar


def _model(
    recipe: Recipe, corpora: Corpora, work: Path, exact: bool, announce: Callable[[str], None]
) -> tuple[Tokenizer, Decoder]:
    """Vocabulary and first weights: those of `backbone.start`, else learnt and drawn."""
    table = recipe.backbone
    if table.start and exact:
        raise SettingError("a backbone to go on from brings its vocabulary: leave out the size, or the backbone")
    if table.start:
        start = load_backbone(table.start)
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
    return tokenizer, initialised(shape, recipe.pretrain.seed)
