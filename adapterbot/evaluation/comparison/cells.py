"""One cell of a comparison: an adapter of one type and size, trained on a skill's dialogues from one seed, and judged.

A cell that is done lies in the home under a name that everything it depends on makes, so that the same comparison, or
another one that has the same cell, takes it from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from adapterbot.evaluation.comparison.ablation import Ablation, Span, ablate
from adapterbot.evaluation.comparison.budget import Sizing
from adapterbot.evaluation.speed import beside_bare
from adapterbot.home import Home, read_whole, written_by_rename
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, packed
from adapterbot.network.backbone import Backbone
from adapterbot.network.checkpoint import remove_checkpoint
from adapterbot.network.device import on_fastest
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.adapter import AdapterTraining
from adapterbot.training.corpus import Corpus
from adapterbot.training.objective import Scores, Trees
from adapterbot.training.schedule import batches
from adapterbot.training.windows import training_trees, validation_trees

FORM = 1  # of a cell's file: another number where what is measured changes
LARGEST = 2**20  # bytes of such a file
REPLIES = 300  # validation replies that a cell is scored on
CHECKPOINT_SECONDS = 60.0
ADAM = 3 * 4  # bytes beside each learnt weight: its gradient and two moments, float32
PROMPT, TOKENS, ROUNDS = 16, 32, 5  # of the decoding that is measured

# Learning rates of AdamW where none is asked for. Bottlenecks: that of the skills that ship. LoRA: ten times full
# tuning's, as Schulman et al. 2025 ("LoRA Without Regret") find best. A prefix begins away from the backbone.
RATES = {"full": 1e-4, "lora": 1e-3, "pals": 1e-3, "k_adapter": 1e-3, "prefix": 5e-3}
RATE = 2e-3  # of all others


@dataclass(frozen=True, slots=True)
class Job:
    """What makes a cell. `corpus` is what the skill learns and is judged on; its spec's adapter is left aside."""

    spec: SkillSpec
    corpus: Corpus
    sizing: Sizing
    seed: int
    rate: float
    tokens: int | None = None  # of the training dialogues; None: as skill.toml says
    ablate: bool = False

    @property
    def type(self) -> str:
        """The type of adapter."""
        return self.sizing.table.type

    @property
    def learner(self) -> SkillSpec:
        """The skill's spec with this adapter; it stops at no epoch before the last, and starts from no other skill."""
        epochs = self.spec.train.epochs
        tokens = self.spec.train.tokens if self.tokens is None else self.tokens
        changes = {"lr": self.rate, "tokens": tokens, "patience": epochs, "start": ""}
        train = self.spec.train.model_copy(update=changes)
        return self.spec.model_copy(update={"adapter": self.sizing.table, "train": train})

    def key(self, backbone: Backbone) -> str:
        """A name for all that the cell's figures depend on."""
        learner = self.learner
        parts = {
            "form": FORM,
            "spec": learner.digest,
            "facts": learner.knowledge.model_dump(),
            "corpus": self.corpus.digest,
            "backbone": [backbone.fingerprint, str(backbone.dtype)],
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Cell:
    """What an adapter is worth and costs. Bits per byte and perplexity are those of validation replies."""

    type: str
    skill: str
    budget: float | None  # the share that was asked for; None where a type has one size
    seed: int
    rate: float
    settings: str  # type and size, for people
    parameters: int
    share: float  # of the backbone's parameters
    bits_per_byte: float
    perplexity: float
    bare_bits_per_byte: float  # of the backbone alone
    bare_perplexity: float
    memory: int  # bytes that the adapter takes where it answers
    training_memory: int  # bytes of an update: adapter, gradients, moments, and the states kept for the gradients
    tokens: int  # of the training dialogues
    steps: int
    training_rate: float  # tokens a second
    decoding_rate: float
    decoding_ratio: float  # of the decoding rate to the bare backbone's
    ablation: Ablation | None = None


class CellStore:
    """Cells that are done, one file each."""

    def __init__(self, home: Home) -> None:
        self.folder = home.comparisons

    def read(self, name: str) -> dict[str, Any] | None:
        """What was written under a name; None where there is nothing whole."""
        try:
            found = json.loads(read_whole(self.folder / f"{name}.json", LARGEST))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Keep what is done, by rename."""
        with written_by_rename(self.folder / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

    def cell(self, job: Job, backbone: Backbone) -> Cell | None:
        """The cell of a job, if it is done, with its ablation where one is wanted."""
        given = self.read(job.key(backbone))
        try:
            found = None if given is None else cell_of(given)
        except (KeyError, TypeError):
            return None
        if found is None or (job.ablate and found.ablation is None):
            return None
        return replace(found, budget=job.sizing.budget)


def cell_of(given: dict[str, Any]) -> Cell:
    """A cell from what `asdict` made of it; raises KeyError or TypeError where it is none."""
    ablation = given.pop("ablation", None)
    if ablation is not None:
        spans = tuple(Span(**span) for span in ablation["spans"])
        given["ablation"] = Ablation(ablation["whole"], ablation["bare"], spans)
    return Cell(**given)


@dataclass(slots=True)
class Bench:
    """Where cells are made: the backbone that is trained on, the one that answers, and what was made last.

    `advance` is told updates done and updates in all; `note` what is measured after them.
    """

    backbone: Backbone
    answering: Backbone
    home: Home
    advance: Callable[[int, int], None] = lambda *_: None
    note: Callable[[str], None] = lambda _: None
    _trees: tuple[object, Trees] | None = None
    _bare: tuple[object, Scores] | None = None

    def cells(self, jobs: Sequence[Job], begin: Callable[[Job], None] = lambda _: None) -> Iterator[Cell]:
        """The cells of jobs in their order, those that are done from the home; `begin` is told before one is made."""
        store = CellStore(self.home)
        for job in jobs:
            found = store.cell(job, self.backbone)
            if found is None:
                begin(job)
                found = self.made(job)
                store.write(job.key(self.backbone), asdict(found))
            yield found

    def made(self, job: Job) -> Cell:
        """Train and judge an adapter. A training that was stopped goes on from its last checkpoint.

        Raises:
            AdapterbotError: the loss is no number any more.
        """
        # Long: the fields of a cell, one a line.
        spec, backbone = job.learner, self.backbone
        trees = self._trees_of(job)
        folder = self.home.training / "compare" / job.key(backbone)
        training = AdapterTraining.prepare(spec, backbone, trees, folder, spec.train.epochs, job.seed)
        with on_fastest(backbone.decoder, training.adapter):
            speed, _ = training.fit(True, CHECKPOINT_SECONDS, self.advance)
            self.note("memory")
            memory = update_bytes(training)
            self.note("validation")
            before, after = training.finish(self._bare_of(training))
            self.note("layers")
            ablation = ablate(training.objective, backbone.shape.layers) if job.ablate else None
        self.note("decoding")
        file = training.adapter.file()
        bank = AdapterBank(self.answering, {job.type: AdapterFile(packed(file.tensors), file.metadata)})
        rate, ratio = beside_bare(bank, job.type, prompt=PROMPT, tokens=TOKENS, rounds=ROUNDS)
        remove_checkpoint(training.folder)
        return Cell(
            type=job.type,
            skill=spec.name,
            budget=job.sizing.budget,
            seed=job.seed,
            rate=job.rate,
            settings=job.sizing.table.told,
            parameters=training.adapter.parameter_count,
            share=training.adapter.parameter_count / backbone.parameter_count,
            bits_per_byte=after.bits_per_byte,
            perplexity=after.perplexity,
            bare_bits_per_byte=before.bits_per_byte,
            bare_perplexity=before.perplexity,
            memory=bank.nbytes,
            training_memory=memory,
            tokens=training.objective.tokens(trees.train)[0],
            steps=training.loop.state.step,
            training_rate=speed,
            decoding_rate=rate,
            decoding_ratio=ratio,
            ablation=ablation,
        )

    def _trees_of(self, job: Job) -> Trees:
        """The dialogues of a job; the same object for the same skill and seed, one after the other."""
        key = (job.spec.name, job.corpus.digest, job.seed, job.tokens)
        if self._trees is None or self._trees[0] != key:
            spec, tokenizer, positions = job.learner, self.backbone.tokenizer, self.backbone.positions
            learnt = training_trees(job.corpus, spec, tokenizer, positions, job.seed)
            judged = validation_trees(job.corpus.valid, spec, tokenizer, positions, REPLIES)
            self._trees = key, Trees(learnt, judged, job.corpus.digest)
        return self._trees[1]

    def _bare_of(self, training: AdapterTraining) -> Scores:
        """What the backbone alone scores on the validation replies; computed once for the same ones."""
        valid = training.objective.valid
        if self._bare is None or self._bare[0] is not valid:
            self._bare = valid, training.objective.score(None, valid)
        return self._bare[1]


def update_bytes(training: AdapterTraining) -> int:
    """Bytes that one update takes beside the backbone: weights, gradients, moments, and states kept for gradients.

    Counted, not sampled: every tensor that the first batch's loss keeps, each storage once, the same on any device.
    """
    kept = dict[int, int]()
    frozen = {p.untyped_storage().data_ptr() for p in training.backbone.decoder.parameters()}
    learnt = [p for p in training.adapter.parameters() if p.requires_grad]
    known = frozen | {p.untyped_storage().data_ptr() for p in training.adapter.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    loop = training.loop
    batch = next(batches(loop.rows, loop.batch_size, f"{loop.seed} 0"))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loop.loss(batch)  # its graph holds what is counted until the sum is taken
    total = sum(kept.values()) + sum(p.nbytes + ADAM * p.numel() for p in learnt)
    del loss
    return total


def rate_of(type: str) -> float:
    """The learning rate of a type where none is asked for."""
    return RATES.get(type, RATE)
