"""The recipe: how the shipped models are made, in one TOML file (data/recipe.toml)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from adapterbot.errors import SpecError
from adapterbot.home import DATA
from adapterbot.spec.folders import explain, read_toml
from adapterbot.spec.tables import Table

SHIPPED = DATA / "recipe.toml"


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

    skills: SkillsTable = SkillsTable()
    manager: ManagerTable = ManagerTable()
    report: ReportTable = ReportTable()


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
