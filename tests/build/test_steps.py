"""The plan of `adapterbot build`: which steps there are, and what is refused before any work."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from steps import STEPS, Place, place_at, recipe, write

from adapterbot.build.ledger import BuildFolder
from adapterbot.build.makers import make
from adapterbot.build.plan import build
from adapterbot.build.steps import ENTAILMENT, RANK_HEADS, BuildRun
from adapterbot.data.corpora import folders
from adapterbot.errors import AdapterbotError, DataError, MissingPartError, SpecError, UnknownNameError
from adapterbot.home import DATA, Home
from adapterbot.spec.folders import SkillFolders
from adapterbot.training.recipe import read_recipe


def test_the_shipped_recipe_makes_everything_that_ships(tmp_path: Path, home: Home) -> None:
    data = place_at(tmp_path).data
    specs = {name: spec for name, spec in SkillFolders(home).load_all().items() if spec.trainable}
    for corpus in {folder for spec in specs.values() if spec.data.corpus for folder in folders(spec.data.corpus)}:
        shutil.copytree(data / "talk", data / corpus, dirs_exist_ok=True)
    lines: list[str] = []
    done = build(data, recipe=read_recipe(), dry_run=True, announce=lines.append, home=home)
    assert len(specs) == 26
    skills = [f"skill {name}" for name in specs]
    order = list(done.plan)
    assert (order[0], sorted(order[1:-4]), order[-4:]) == (RANK_HEADS, skills, list(STEPS[2:]))
    for name, spec in specs.items():
        if start := spec.train.start:
            assert order.index(f"skill {start}") < order.index(f"skill {name}")
    assert done.root == DATA.parent
    assert len(lines) == 1 + len(done.plan)
    assert not home.root.exists()


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


def test_the_judge_is_made_where_there_are_pairs(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    line = {"premise": "It rains.", "hypothesis": "It is dry.", "label": "contradicts"}
    for part in ("train", "valid"):
        write(tmp_path / "pairs" / "weather" / f"{part}.jsonl", json.dumps(line))
    folder = BuildFolder(tmp_path / "root", Home(tmp_path / "home"))
    backbone = str(place.backbone)
    run = BuildRun.at(place.data, recipe(), folder, backbone, lambda line: None, tmp_path / "pairs")
    (step,) = (step for step in run.steps() if step.name == ENTAILMENT)
    alone = BuildRun.at(place.data, recipe(), folder, backbone, lambda line: None)
    assert ENTAILMENT not in [step.name for step in alone.steps()]
    assert make(run, step, {}) == {"weather_accuracy": 1.0, "weather_macro_f1": 1.0}
    assert step.outputs().keys() == {"manager/weights/judge.safetensors", "manager/weights/judge.md"}
    write(tmp_path / "pairs" / "weather" / "train.jsonl", json.dumps(line | {"label": "neither"}))
    again = BuildRun.at(place.data, recipe(), folder, backbone, lambda line: None, tmp_path / "pairs").steps()
    assert [s.inputs for s in again if s.name == ENTAILMENT] != [step.inputs]


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
    with pytest.raises(AdapterbotError, match=r"root.data cannot be written .* by --root"):
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
    with pytest.raises(MissingPartError, match=r"sacrebleu: pip install 'adapterbot\[train\]'"):
        place.build()
    assert not (place.root / "data").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"cards": {"read": {}}}', '{"cards": 3}'])
def test_damaged_records_are_not_taken_for_none(tmp_path: Path, text: str) -> None:
    place = place_at(tmp_path)
    write(place.root / "data" / "models.json", text)
    with pytest.raises(DataError, match=r"models.json is damaged"):
        place.plan()


def test_skills_that_start_from_one_another_are_refused(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    spec = place.root / "skills" / "empathetic" / "skill.toml"
    write(spec, 'train = { start = "weather" }\n' + spec.read_text(encoding="utf-8"))
    with pytest.raises(SpecError, match="skills start from one another: "):
        place.plan()


def test_a_backbone_that_is_not_here_shows_before_the_work(tmp_path: Path) -> None:
    data, home = place_at(tmp_path).data, Home(tmp_path / "home")
    with pytest.raises(UnknownNameError, match="did you mean 'smollm2'"):
        build(data, recipe=recipe(), backbone="smollm", root=tmp_path / "root", dry_run=True, home=home)
    with pytest.raises(MissingPartError, match="is not on this machine"):
        build(data, recipe=recipe(), backbone="dialogpt-small", root=tmp_path / "root", dry_run=True, home=home)
