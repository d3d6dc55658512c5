"""The recipe: how the shipped models are made, in one TOML file (data/recipe.toml): sizes, mixture, budgets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from adapterbot.errors import SettingError, SpecError
from adapterbot.home import DATA
from adapterbot.spec.folders import explain, read_toml
from adapterbot.spec.tables import Table

SHIPPED = DATA / "recipe.toml"
OF_THE_BACKBONE = {"mixture", "vocabulary", "backbone", "pretrain"}  # the tables that a backbone depends on


class MixtureTable(Table):
    """Which corpora a backbone learns from, and how often it sees a document of each in one pass (1: once)."""

    leave_out: tuple[str, ...] = ()
    templated: tuple[str, ...] = ()  # sentences recur by design: near duplicates stay, and so does lower case
    dialogues: dict[str, float] = Field(default_factory=dict)
    grounded: dict[str, float] = Field(default_factory=dict)


class VocabularyTable(Table):
    """The sentencepiece vocabulary. `size` counts all pieces, the 256 bytes among them."""

    size: int = Field(8192, ge=300, le=200_000)
    sentences: int = Field(400_000, ge=1)  # utterances that it is learnt from


class BackboneTable(Table):
    """Shape of the backbone. `start` is a backbone to go on from; its shape and vocabulary then count."""

    start: str = ""
    width: int = Field(256, ge=8, le=16384)
    layers: int = Field(8, ge=1, le=256)
    heads: int = Field(4, ge=1, le=256)
    positions: int = Field(512, ge=16, le=65536)


class PretrainTable(Table):
    """One training run. `tokens` is the budget; small data stops after `passes` passes."""

    tokens: int = Field(20_000_000, ge=1)
    passes: float = Field(20, gt=0)
    batch: int = Field(8, ge=1)  # rows of `positions` tokens per update and device
    muon_lr: float = Field(0.01, gt=0, le=1)
    adam_lr: float = Field(1e-3, gt=0, le=1)
    warmup: int = Field(100, ge=0)  # updates
    decay: float = Field(0.6, ge=0, le=1)  # the last share of the updates, over which the rates fall to zero
    dropout: float = Field(0.0, ge=0, lt=1)
    seed: int = Field(0, ge=0, lt=2**31)


class SkillsTable(Table):
    """Which skills get an adapter (none named: all that can have one), for at most `epochs` epochs each."""

    train: tuple[str, ...] = ()
    epochs: int | None = Field(None, ge=1, le=1000)


class ManagerTable(Table):
    """The steps in which the encoder of dialogues is learnt, and the messages and replies of each; the heads of the
    classifier, and the steps that they, and those that clean its labels, are trained for; and the seed of encoder,
    classifier and rank heads."""

    steps: int = Field(855, ge=1)
    messages: int = Field(512, ge=1)
    replies: int = Field(512, ge=1)
    heads: int = Field(2, ge=1)
    head_steps: int = Field(2500, ge=1)
    cleaning_steps: int = Field(400, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)


class ReportTable(Table):
    """The evaluation of what was made: `most` replies are generated and scored for each skill."""

    most: int = Field(100, ge=1)


class Recipe(Table):
    """All of it."""

    mixture: MixtureTable = MixtureTable()
    vocabulary: VocabularyTable = VocabularyTable()
    backbone: BackboneTable = BackboneTable()
    pretrain: PretrainTable = PretrainTable()
    skills: SkillsTable = SkillsTable()
    manager: ManagerTable = ManagerTable()
    report: ReportTable = ReportTable()

    def override(self, **tables: Mapping[str, Any]) -> Recipe:
        """The same with some settings changed, `table={"key": value}`; None changes nothing.

        Raises:
            SettingError: an unknown key, or a value outside its range.
        """
        raw = self.model_dump()
        for table, values in tables.items():
            raw[table] |= {key: value for key, value in values.items() if value is not None}
        try:
            return Recipe(**raw)
        except ValidationError as error:
            raise SettingError(explain(error, Recipe)) from None

    @property
    def flat(self) -> dict[str, object]:
        """Every setting that a backbone depends on, as `table.key`."""
        return {
            f"{table}.{key}": value
            for table, part in self.model_dump(mode="json", include=OF_THE_BACKBONE).items()
            for key, value in part.items()
        }

    @property
    def digest(self) -> str:
        """Hash over everything that a backbone depends on."""
        return hashlib.sha256(json.dumps(self.flat, sort_keys=True).encode()).hexdigest()[:16]


def read_recipe(path: Path | None = None) -> Recipe:
    """The recipe in `path`, else the shipped one.

    Raises:
        SpecError: not TOML, an unknown key or a bad value (says the nearest valid key).
    """
    path = path or SHIPPED
    try:
        return Recipe(**read_toml(path))
    except ValidationError as error:
        raise SpecError(f"{path}: {explain(error, Recipe)}") from None
