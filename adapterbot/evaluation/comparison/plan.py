"""What a comparison is to make: which sizes, of which skills' dialogues, from which seeds, at which learning rates."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from adapterbot.errors import SettingError
from adapterbot.evaluation.comparison.budget import SIZES, Sizing, Unreachable, sized
from adapterbot.evaluation.comparison.cells import Job, rate_of
from adapterbot.evaluation.comparison.continual import ADAPTERS, TUNED, Wish
from adapterbot.evaluation.speed import processor
from adapterbot.network.backbone import Backbone
from adapterbot.network.device import fastest
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.corpus import Corpus, load_corpus
from adapterbot.training.logistic import by_meaning


@dataclass(frozen=True, slots=True)
class Plan:
    """The same dialogues, tokens, steps and seeds for each type and budget.

    `rates` are the learning rates that each cell is trained at; none: one for its type. `tokens` None: of as many as
    each skill.toml says.
    """

    types: tuple[str, ...]
    specs: tuple[SkillSpec, ...]
    budgets: tuple[float, ...]
    seeds: tuple[int, ...] = (0,)
    rates: tuple[float, ...] = ()
    data: str | None = None
    tokens: int | None = None
    ablate: str | None = None

    def corpora(self) -> dict[str, Corpus]:
        """The dialogues of each skill.

        Raises:
            DataError: a skill has none in `data`; file and line where one is at fault.
        """
        return {spec.name: load_corpus(spec, self.data, by_meaning) for spec in self.specs}

    def sizings(self, backbone: Backbone) -> tuple[list[Sizing], list[Unreachable]]:
        """Each type at each budget, one with one size once; and the budgets that a type cannot have.

        Raises:
            AdapterError: the backbone cannot have one of the types. SettingError: no type has any of the budgets.
        """
        pairs = [(t, b) for t in self.types for b in (self.budgets if t in SIZES else self.budgets[:1])]
        found = [sized(type, budget, backbone.shape, backbone.parameter_count) for type, budget in pairs]
        unreachable = [one for one in found if isinstance(one, Unreachable)]
        sizings = [one for one in found if isinstance(one, Sizing)]
        if not sizings:
            raise SettingError("; ".join(one.told for one in unreachable))
        return sizings, unreachable

    def jobs(self, sizings: Sequence[Sizing], corpora: Mapping[str, Corpus]) -> list[Job]:
        """One for each cell and learning rate. Layers are taken out of the largest adapter of the type `ablate`, of the
        first seed."""
        most = max((s.parameters for s in sizings if s.table.type == self.ablate), default=0)
        return [
            Job(spec, corpora[spec.name], sizing, seed, rate, self.tokens, self._ablates(sizing, most, seed))
            for spec in self.specs
            for seed in self.seeds
            for sizing in sizings
            for rate in self.rates or (rate_of(sizing.table.type),)
        ]

    def wishes(self, sizings: Sequence[Sizing]) -> list[Wish]:
        """One for each method of learning the skills one after the other, and seed."""
        adapters = [Wish(ADAPTERS, seed, sizing) for seed in self.seeds for sizing in sizings]
        return [*adapters, *(Wish(method, seed) for seed in self.seeds for method in TUNED)]

    def _ablates(self, sizing: Sizing, most: int, seed: int) -> bool:
        return sizing.table.type == self.ablate and sizing.parameters == most and seed == self.seeds[0]

    def about(self, backbone: Backbone, corpora: Mapping[str, Corpus]) -> dict[str, Any]:
        """On what it is made."""
        return {
            "when": time.strftime("%Y-%m-%d"),
            "device": torch.cuda.get_device_name() if fastest() == "cuda" else processor(),
            "torch": torch.__version__,
            "backbone": backbone.name,
            "fingerprint": backbone.fingerprint,
            "parameters": backbone.parameter_count,
            "dtype": str(backbone.dtype).removeprefix("torch."),
            "data": {name: corpus.origin for name, corpus in corpora.items()},
            "tokens": self.tokens,
            "seeds": list(self.seeds),
            "budgets": list(self.budgets),
        }
