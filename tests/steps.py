"""What the tests of `adapterbot build` share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import make_tiny

from adapterbot.build.plan import BuildResult, build
from adapterbot.build.steps import ENCODER, MANAGER
from adapterbot.home import DATA, Home
from adapterbot.network.backbone import save_backbone
from adapterbot.training.recipe import Recipe

SETTINGS: dict[str, dict[str, Any]] = {
    "skills": {"train": ["empathetic", "weather"], "epochs": 1},
    "manager": {"steps": 2, "messages": 4, "replies": 4, "head_steps": 20, "cleaning_steps": 5},
    "report": {"most": 4},
}
STEPS = (
    "skill empathetic",
    "skill weather",
    ENCODER,
    MANAGER,
    "evaluation report",
    "cards",
)
# Short replies and few phrases: what a test does not look at should not take its time.
SKILL = """summary = "s"
group = "{group}"
{tables}
[decode]
max_tokens = 4
[routing]
examples = ["{name} one", "{name} two", "{name} three"]
corpora = ["clinc_oos:{name}"]
"""
TABLES = {
    "chitchat": "adapter = false",
    "empathetic": 'data = { corpus = "empathetic_dialogues", facts = "none" }\nadapter = { bottleneck = 2 }',
    "weather": 'data = { corpus = "in_car", domain = "weather", facts = "knowledge" }\n'
    'adapter = { bottleneck = 2 }\ntrain = { start = "empathetic" }\nknowledge = { source = "weather" }',
}


@dataclass(frozen=True, slots=True)
class Place:
    """Corpora, and a root and a home beside them, and a GPT-2-shaped backbone."""

    folder: Path

    @property
    def backbone(self) -> Path:
        return self.folder / "backbone"

    @property
    def data(self) -> Path:
        return self.folder / "corpora"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def build(
        self,
        chosen: Recipe | None = None,
        *,
        dry: bool = False,
        jobs: int = 1,
        announce: Callable[[str], None] = print,
    ) -> BuildResult:
        options: dict[str, Any] = {"home": Home(self.folder / "home"), "announce": announce, "jobs": jobs}
        options["backbone"] = str(self.backbone)
        return build(self.data, recipe=chosen or recipe(), root=self.root, dry_run=dry, **options)

    def plan(self, **changes: dict[str, Any]) -> dict[str, str]:
        """Why, of the steps that would be made under a changed recipe."""
        return {name: why for name, why in self.build(recipe(**changes), dry=True).plan.items() if why}

    def records(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "data" / "models.json").read_text(encoding="utf-8"))
        return found


def recipe(**changes: dict[str, Any]) -> Recipe:
    return Recipe(**{table: SETTINGS.get(table, {}) | changes.get(table, {}) for table in {*SETTINGS, *changes}})


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def place_at(folder: Path) -> Place:
    """Our samples under the names of the corpora that the skills want, and a root with three small skills of its own.

    `weather` starts from `empathetic`.
    """
    place = Place(folder)
    made = make_tiny(width=16, layers=2)
    save_backbone(place.backbone, made.decoder, made.tokenizer, {})
    for corpus, skill in {"ed": "empathetic", "kvret": "weather", "talk": "chitchat"}.items():
        write(place.data / corpus / "train.jsonl", (DATA / "samples" / f"{skill}.jsonl").read_text(encoding="utf-8"))
    texts = [{"text": f"will it rain on day {i}", "label": "weather"} for i in range(8)]
    write(place.data / "clinc_oos" / "train.jsonl", "\n".join(map(json.dumps, texts)))
    for name, tables in TABLES.items():
        group = "task" if name == "weather" else "conversation"
        write(place.root / "skills" / name / "skill.toml", SKILL.format(name=name, tables=tables, group=group))
    return place
