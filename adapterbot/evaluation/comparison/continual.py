"""Skills learnt one after the other, and what is left of the first ones: adapters beside one model that is tuned on.

`adapters` gives each skill its own and leaves the backbone alone. The others tune all weights of one copy on each skill
in turn: `vanilla` as they are; `recadam` recalls the weights before the skill, the first time the backbone's
(training.recadam); `ewc` holds those that earlier skills need (training.ewc); `replay` learns a share of the earlier
skills' dialogues again. For all of them the
same dialogues, tokens, epochs and seeds; validation bits per byte of every skill after every stage.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from adapterbot.evaluation.baselines import RATE, all_weights_loss, tune_all_weights
from adapterbot.evaluation.comparison.budget import Sizing, percent
from adapterbot.evaluation.comparison.cells import CHECKPOINT_SECONDS, REPLIES, CellStore, Job, rate_of
from adapterbot.home import Home
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, packed
from adapterbot.network.backbone import Backbone, freeze
from adapterbot.network.checkpoint import remove_checkpoint
from adapterbot.network.device import on_fastest
from adapterbot.network.tree import Tree
from adapterbot.spec.tables import AdapterTable, SkillSpec
from adapterbot.training.adapter import AdapterTraining
from adapterbot.training.corpus import Corpus
from adapterbot.training.ewc import Consolidation, diagonal_fisher
from adapterbot.training.objective import Trees, scores_of
from adapterbot.training.recadam import RecAdam
from adapterbot.training.schedule import VALIDATION_REPLIES
from adapterbot.training.windows import training_trees, validation_trees

FORM = 1  # of a course's file: another number where what is measured changes
ADAPTERS = "adapters"
TUNED = ("vanilla", "recadam", "ewc", "replay")
REPLAYED = 0.1  # of each earlier skill's dialogues
FISHER_TREES = 64  # dialogues that the Fisher information of a skill is taken of
PULL = 0.1  # of the way back that an update of RecAdam goes while λ is 0: rate * γ, as of 5,000 at a rate of 2e-5
MIDDLE = 0.5  # of a stage's updates: where RecAdam's λ is one half
EVERYWHERE = Sizing(None, AdapterTable(), 0, 0.0)  # all weights act on all tokens, as an adapter on all layers does
SLOPE = 20.0  # and over 1 / SLOPE of them it rises from 1/2 to 0.73


@dataclass(frozen=True, slots=True)
class Course:
    """One method through all skills, from one seed: `bits[stage][skill]`, bits per byte after each stage."""

    method: str
    skills: tuple[str, ...]
    seed: int
    settings: str  # of the adapters; what is tuned otherwise
    parameters: int  # that have to be kept for all skills, beside the backbone
    steps: tuple[int, ...]  # updates of each stage
    bare: tuple[float, ...]  # the backbone's bits per byte of each skill
    bits: tuple[tuple[float, ...], ...]

    @property
    def forgotten(self) -> float:
        """By how much the skills before the last are worse at the end than when they were learnt, on average."""
        losses = [self.bits[-1][i] - self.bits[i][i] for i in range(len(self.skills) - 1)]
        return sum(losses) / max(1, len(losses))

    @property
    def mean(self) -> float:
        """Of all skills at the end."""
        return sum(self.bits[-1]) / len(self.skills)


@dataclass(frozen=True, slots=True)
class Wish:
    """A method with its seed; `sizing` is that of adapters."""

    method: str
    seed: int
    sizing: Sizing | None = None

    @property
    def name(self) -> str:
        """For tables: adapters go by type and budget."""
        if self.sizing is None:
            return self.method
        budget = "" if self.sizing.budget is None else f" {percent(self.sizing.budget)}"
        return f"{self.sizing.table.type}{budget}"

    @property
    def settings(self) -> str:
        """What learns."""
        return "all weights" if self.sizing is None else self.sizing.table.told


@dataclass(slots=True)
class Stages:
    """The skills in their order, and where they are learnt. `advance` is told updates done and in all of a stage."""

    backbone: Backbone  # float32: all of its weights learn
    home: Home
    specs: Sequence[SkillSpec]
    corpora: Mapping[str, Corpus]
    tokens: int | None = None
    advance: Callable[[int, int], None] = lambda *_: None
    note: Callable[[str], None] = lambda _: None
    _trees: dict[int, list[Trees]] = field(default_factory=dict)

    def courses(self, wishes: Sequence[Wish], begin: Callable[[Wish], None] = lambda _: None) -> Iterator[Course]:
        """A course for each wish, those that are done from the home; `begin` is told before one is made."""
        store = CellStore(self.home)
        for wish in wishes:
            found = self.done(wish)
            if found is None:
                begin(wish)
                found = self.adapted(wish, wish.sizing) if wish.sizing is not None else self.tuned(wish)
                store.write(self.key(wish), asdict(found))
            yield found

    def done(self, wish: Wish) -> Course | None:
        """What was made of a wish before."""
        given = CellStore(self.home).read(self.key(wish))
        try:
            return None if given is None else course_of(given)
        except (KeyError, TypeError):
            return None

    def key(self, wish: Wish) -> str:
        """A name for all that a course depends on."""
        jobs = [self._learner(spec, wish) for spec in self.specs]
        parts = {
            "form": FORM,
            "method": wish.method,
            "learners": [[spec.digest, spec.knowledge.model_dump()] for spec in jobs],
            "corpora": [self.corpora[spec.name].digest for spec in jobs],
            "backbone": [self.backbone.fingerprint, str(self.backbone.dtype)],
            "seed": wish.seed,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]

    def adapted(self, wish: Wish, sizing: Sizing) -> Course:
        """An adapter for each skill; a skill that has none yet is the backbone's."""
        trees, backbone = self.trees(wish.seed), self.backbone
        files = dict[str, AdapterFile]()
        bits, steps, parameters = [], [], 0
        for spec, of_skill in zip(self.specs, trees, strict=True):
            learner = self._learner(spec, wish)
            folder = self.home.training / "compare" / f"{self.key(wish)}-{spec.name}"
            training = AdapterTraining.prepare(learner, backbone, of_skill, folder, learner.train.epochs, wish.seed)
            self.note(spec.name)
            with on_fastest(backbone.decoder, training.adapter):
                training.fit(True, CHECKPOINT_SECONDS, self.advance)
            training.adapter.take({n: t.cpu() for n, t in training.loop.best.items()})
            file = training.adapter.file()
            files[spec.name] = AdapterFile(packed(file.tensors), file.metadata)
            parameters += training.adapter.parameter_count
            steps.append(training.loop.state.step)
            with on_fastest(backbone.decoder):
                bank = AdapterBank(backbone, files)
                chosen = [other.name if other.name in files else None for other in self.specs]
                bits.append(self._bits(backbone, trees, [bank.select([name]) for name in chosen]))
            remove_checkpoint(folder)
        return self._course(wish, parameters, steps, bits, trees)

    def tuned(self, wish: Wish) -> Course:
        """All weights of one copy, on one skill after the other."""
        trees = self.trees(wish.seed)
        model = replace(self.backbone, decoder=copy.deepcopy(self.backbone.decoder).requires_grad_(True))
        kept = Consolidation()  # empty, and no penalty, for all methods but EWC
        bits, steps = [], []
        for stage, (spec, of_skill) in enumerate(zip(self.specs, trees, strict=True)):
            self.note(spec.name)
            rows = of_skill.train + (self._replayed(trees[:stage], wish.seed) if wish.method == "replay" else [])
            with on_fastest(model.decoder):
                steps.append(
                    tune_all_weights(
                        model,
                        self._learner(spec, wish),
                        rows,
                        of_skill.valid[:: max(1, len(of_skill.valid) // VALIDATION_REPLIES)],
                        seed=wish.seed,
                        rate=RATE,
                        optimizer=recalling if wish.method == "recadam" else None,
                        penalty=kept.penalty,
                        advance=self.advance,
                    )
                )
                bits.append(self._bits(model, trees, [None] * len(trees)))
                if wish.method == "ewc" and stage + 1 < len(trees):
                    kept.remember(model.decoder, _fisher_of(model, of_skill.train, wish.seed))
        freeze(model.decoder)
        return self._course(wish, self.backbone.parameter_count, steps, bits, trees)

    def trees(self, seed: int) -> list[Trees]:
        """The dialogues of each skill, the same for all methods."""
        if seed not in self._trees:
            tokenizer, positions = self.backbone.tokenizer, self.backbone.positions
            found = []
            for spec in self.specs:
                corpus = self.corpora[spec.name]
                plain = self._learner(spec, Wish("vanilla", seed))
                learnt = training_trees(corpus, plain, tokenizer, positions, seed)
                judged = validation_trees(corpus.valid, plain, tokenizer, positions, REPLIES)
                found.append(Trees(learnt, judged, corpus.digest))
            self._trees = {seed: found}
        return self._trees[seed]

    def _learner(self, spec: SkillSpec, wish: Wish) -> SkillSpec:
        """A skill's spec as this method learns it."""
        rate = RATE if wish.sizing is None else rate_of(wish.sizing.table.type)
        return Job(spec, self.corpora[spec.name], wish.sizing or EVERYWHERE, wish.seed, rate, self.tokens).learner

    def _replayed(self, before: Sequence[Trees], seed: int) -> list[Tree]:
        """A share of the dialogues of each skill before, drawn at random."""
        draw = random.Random(f"{seed} replay {len(before)}")
        return [t for of in before for t in draw.sample(of.train, max(1, round(REPLAYED * len(of.train))))]

    def _bits(self, model: Backbone, trees: Sequence[Trees], adapters: Sequence[Any]) -> tuple[float, ...]:
        """Bits per byte of every skill's validation replies."""
        pairs = zip(trees, adapters, strict=True)
        return tuple(scores_of(model, chosen, of_skill.valid).bits_per_byte for of_skill, chosen in pairs)

    def _course(
        self,
        wish: Wish,
        parameters: int,
        steps: Sequence[int],
        bits: Sequence[tuple[float, ...]],
        trees: Sequence[Trees],
    ) -> Course:
        with on_fastest(self.backbone.decoder):
            bare = self._bits(self.backbone, trees, [None] * len(trees))
        names = tuple(spec.name for spec in self.specs)
        return Course(wish.name, names, wish.seed, wish.settings, parameters, tuple(steps), bare, tuple(bits))


def course_of(given: Mapping[str, Any]) -> Course:
    """A course from what `asdict` made of it; raises KeyError or TypeError where it is none."""
    rows = tuple(tuple(stage) for stage in given["bits"])
    lists = {name: tuple(given[name]) for name in ("skills", "steps", "bare")}
    return Course(**{**given, **lists, "bits": rows})


def recalling(decoder: torch.nn.Module, steps: int) -> torch.optim.Optimizer:
    """RecAdam over a stage of so many updates: λ is one half in the middle of it."""
    return RecAdam(decoder.parameters(), RATE, k=SLOPE / steps, t0=MIDDLE * steps, gamma=PULL / RATE)


def _fisher_of(model: Backbone, trees: Sequence[Tree], seed: int) -> dict[str, Tensor]:
    """The Fisher information of replies of some dialogues of a skill, drawn at random."""
    drawn = random.Random(f"{seed} fisher").sample(trees, min(FISHER_TREES, len(trees)))

    def nats(tree: Tree) -> tuple[Tensor, int]:
        return all_weights_loss(model, [tree]) * len(tree.labels), len(tree.labels)

    return diagonal_fisher(model.decoder, drawn, nats)
