"""The plan of `adapterbot build`: which steps there are, and what is refused before any work."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapterbot.build import Built, build
from adapterbot.data import DATA
from adapterbot.data.corpora import folders
from adapterbot.errors import AdapterbotError, DataError, MissingPartError, SpecError, UnknownNameError
from adapterbot.home import Home
from adapterbot.manager import ranking
from adapterbot.recipe import Recipe, read_recipe
from adapterbot.spec import SkillFolders
from adapterbot.stages import BACKBONE, BESIDES, ENCODER, RANK_HEADS

SETTINGS: dict[str, dict[str, Any]] = {
    "mixture": {"leave_out": ["clinc_oos"]},
    "vocabulary": {"size": 500},
    "backbone": {"width": 16, "layers": 1, "heads": 2, "positions": 64},
    "pretrain": {"tokens": 3000, "batch": 8, "warmup": 2},
    "skills": {"train": ["empathetic", "weather"], "epochs": 1},
    "manager": {"steps": 2},
    "report": {"most": 4},
}
STEPS = (
    BACKBONE,
    "skill empathetic",
    "skill weather",
    ENCODER,
    "manager (backbone)",
    "manager (dialogue)",
    "evaluation report",
    "cards",
)
# Short replies and few phrases: what a test does not look at should not take its time.
SKILL = """summary = "s"
group = "conversation"
{tables}
[decode]
max_tokens = 4
[routing]
examples = ["{name} one", "{name} two", "{name} three"]
"""
TABLES = {
    "chitchat": "adapter = false",
    "empathetic": 'data = { corpus = "empathetic_dialogues", facts = "none" }\nadapter = { bottleneck = 2 }',
}


@dataclass(frozen=True, slots=True)
class Place:
    """Corpora, and a root and a home beside them."""

    folder: Path

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
    ) -> Built:
        options: dict[str, Any] = {"home": Home(self.folder / "home"), "announce": announce, "jobs": jobs}
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
    """Our samples under the names of the corpora that the skills want, and a root with two small skills of its own."""
    place = Place(folder)
    for corpus, skill in {"ed": "empathetic", "kvret": "weather", "talk": "chitchat"}.items():
        write(place.data / corpus / "train.jsonl", (DATA / "samples" / f"{skill}.jsonl").read_text(encoding="utf-8"))
    texts = [{"text": f"will it rain on day {i}", "label": "weather"} for i in range(8)]
    write(place.data / "clinc_oos" / "train.jsonl", "\n".join(map(json.dumps, texts)))
    for name, tables in TABLES.items():
        write(place.root / "skills" / name / "skill.toml", SKILL.format(name=name, tables=tables))
    return place


def test_the_shipped_recipe_makes_everything_that_ships(tmp_path: Path, home: Home) -> None:
    data = place_at(tmp_path).data
    specs = {name: spec for name, spec in SkillFolders(home).load_all().items() if spec.trainable}
    for corpus in {folder for spec in specs.values() if spec.data.corpus for folder in folders(spec.data.corpus)}:
        shutil.copytree(data / "talk", data / corpus, dirs_exist_ok=True)
    lines: list[str] = []
    done = build(data, recipe=read_recipe(), dry_run=True, announce=lines.append, home=home)
    assert len(specs) == 25
    assert list(done.plan) == [BACKBONE, RANK_HEADS, *(f"skill {name}" for name in specs), *STEPS[3:]]
    assert done.root == DATA.parent
    assert len(lines) == 1 + len(done.plan)
    assert not home.root.exists()


def test_the_managers_encoder_is_a_choice(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    assert ENCODER not in place.plan(manager={"encoders": ["backbone"]})
    assert "manager (backbone)" not in place.plan(manager={"encoders": ["dialogue"]})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: None, "is not there; expected a folder of corpora"),
        (lambda data: data.mkdir(), "holds no corpus: expected NAME/train.jsonl"),
        (lambda data: write(data, "{}"), "is a file; expected a folder of corpora"),
        (lambda data: write(data / "train.jsonl", "{}"), "is a single corpus; expected a folder of corpora"),
    ],
)
def test_no_corpora(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "corpora")
    with pytest.raises(DataError, match=message):
        Place(tmp_path).build(dry=True)


def test_a_skill_that_cannot_be_trained_shows_before_the_work(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'empathetic'"):
        place.plan(skills={"train": ["empatetic"]})
    with pytest.raises(SpecError, match="'chitchat', the backbone alone"):
        place.plan(skills={"train": ["chitchat"]})
    with pytest.raises(DataError, match=r"'wiki' learns from the corpus 'wow'.*it has clinc_oos, ed, kvret, talk"):
        place.plan(skills={"train": ["wiki"]})


def test_a_place_that_cannot_be_written_shows_before_the_work(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    write(place.root / "data", "a file where a folder has to be")
    with pytest.raises(AdapterbotError, match=r"root.data.backbone cannot be written .* by --root"):
        place.build()
    (place.root / "data").unlink()
    write(tmp_path / "home", "likewise")
    with pytest.raises(AdapterbotError, match=r"home.training cannot be written .* ADAPTERBOT_HOME"):
        place.build()
    assert not list(place.root.rglob("*.safetensors"))


def test_a_missing_library_shows_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sacrebleu" else find(name))
    place = place_at(tmp_path)
    assert place.plan()  # planning needs none
    with pytest.raises(MissingPartError, match=r"sacrebleu: pip install 'adapterbot\[train,encoder\]'"):
        place.build()
    assert not (place.root / "data").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"cards": {"read": {}}}', '{"cards": 3}'])
def test_damaged_records_are_not_taken_for_none(tmp_path: Path, text: str) -> None:
    place = place_at(tmp_path)
    write(place.root / "data" / "models.json", text)
    with pytest.raises(DataError, match=r"models.json is damaged"):
        place.plan()


def test_the_ranker_reads_what_its_step_says() -> None:
    assert BESIDES == ranking.BESIDES


def test_a_checkpoint_of_a_backbone_outlives_changes_to_what_comes_after_it() -> None:
    other = recipe(skills={"train": []}, manager={"seed": 5}, report={"most": 9})
    assert other.digest == recipe().digest
    assert not {key for key in recipe().flat if key.startswith(("skills.", "manager.", "report."))}
