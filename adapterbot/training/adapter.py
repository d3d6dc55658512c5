"""The training of one adapter: what it learns from, the loop, and how far it was when it was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from adapterbot.errors import SpecError
from adapterbot.home import Home
from adapterbot.network.adapters.file import AdapterFile, load_adapter, packed, unpacked
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone, fingerprint_of
from adapterbot.network.checkpoint import Checkpoint, checkpoint_of, remove_checkpoint, save_checkpoint
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import AdapterTable, SkillSpec
from adapterbot.training.loop import LoopState, TrainingLoop
from adapterbot.training.objective import Objective, Scores, Trees
from adapterbot.training.progress import training_bar
from adapterbot.training.schedule import VALIDATION_REPLIES
from adapterbot.training.workers import Workers

OPTIMIZER = "adamw"  # its moments' name in a checkpoint
BETAS = (0.9, 0.99)
DECAY = 0.01


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
        trees: Trees,
        folder: Path,
        epochs: int,
        seed: int,
        start: AdapterFile | None = None,
        workers: Workers | None = None,
        pieces: int = 1,
    ) -> AdapterTraining:
        """Rows, an adapter, and how far the same training was when it was stopped."""
        # Long: what makes a training the same, and what its loop is made of, one a line.
        adapter = Adapter(backbone.shape, spec.adapter or AdapterTable(), seed)
        if start is not None:
            adapter.take(start.tensors)
        key = {
            "spec": spec.digest,
            "corpus": trees.digest,
            "backbone": backbone.fingerprint,
            "epochs": epochs,
            "seed": seed,
            "start": fingerprint_of(start.tensors) if start is not None else "",
        }
        workers = workers or Workers()
        if workers.is_first and not checkpoint_of(folder, key).key:
            remove_checkpoint(folder)
        workers.wait()
        checkpoint = checkpoint_of(folder, key)
        checkpoint.restore_weights(adapter)
        aim = Objective(spec, backbone, adapter, trees, folder, epochs, workers)
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
            learnt=lambda batch: aim.tokens(batch)[1],
            workers=workers,
            pieces=pieces,
        )
        workers.wait()  # all have read the checkpoint before it is written anew
        return cls(spec, backbone, adapter, aim, loop, folder, key, checkpoint)

    def fit(
        self,
        quiet: bool,
        checkpoint_seconds: float,
        advance: Callable[[int, int], None] = lambda *_: None,
    ) -> tuple[float, float]:
        """Train to the end; returns tokens per second, all of them and those that are learnt.

        `advance` is told updates done, and updates in all.
        """
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
                advance(loop.state.step, loop.steps)

            loop.run(
                on_update,
                lambda: bar.update(task, valid=f"{loop.state.valid[-1]:.2f}"),
                save=self.save,
                checkpoint_seconds=checkpoint_seconds,
            )
        seconds = max(time.monotonic() - started, 1e-9)
        return tokens / seconds, learnt / seconds

    def save(self) -> None:
        """Write the checkpoint, in the first process."""
        if not self.loop.workers.is_first:
            return
        optimizers = {OPTIMIZER: self.loop.optimizer}
        save_checkpoint(self.folder, self.key, asdict(self.loop.state), self.adapter, optimizers, self.loop.best)

    def finish(self, before: Scores | None = None) -> tuple[Scores, Scores]:
        """Take the best weights, as the file will hold them; scores of the validation replies without and with.

        `before` are those without, where they are known.
        """
        self.adapter.take(unpacked(packed(self.loop.best)))
        aim = self.objective
        return before or aim.score(None, aim.valid), aim.score(aim.adapters, aim.valid)


def start_of(spec: SkillSpec, backbone: Backbone, home: Home, start: str) -> AdapterFile | None:
    """The trained adapter of the skill `start`, which may be `spec` itself; None where no name is given.

    Raises:
        UnknownNameError: there is no such skill.
        SpecError: it has not been trained, or has another shape than the spec asks for.
    """
    if not start:
        return None
    folders = SkillFolders(home)
    path = folders.adapter_file(start)
    if path is None:
        folders.folder(start)  # tells a name that is none
        raise SpecError(f"{start!r} has no trained adapter yet; first: adapterbot train-skill {start}")
    file = load_adapter(path, backbone.shape, backbone.fingerprint)
    wanted = Adapter(backbone.shape, spec.adapter or AdapterTable())
    sizes = {name: tuple(tensor.shape) for name, tensor in file.tensors.items()}
    if (wanted.kind, wanted.on, wanted.sizes) != (file.type, file.on, sizes):
        raise SpecError(
            f"skill {spec.name!r} cannot start from {start!r}: its [adapter] asks for another type, size or `on` "
            f"than {path} has"
        )
    return file
