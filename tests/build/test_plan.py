"""`adapterbot build`: everything is made once, again only what has to be, and what a stopped build has made stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_tiny
from safetensors import safe_open
from safetensors.torch import load_file
from steps import STEPS, Place, place_at, recipe, write

from adapterbot.build.ledger import JUDGE, REPLIES
from adapterbot.build.steps import ENCODER, MANAGER
from adapterbot.errors import DataError
from adapterbot.home import DATA
from adapterbot.manager.encoder import load_encoder
from adapterbot.manager.training import examples
from adapterbot.network.backbone import read_backbone, save_backbone
from adapterbot.training.card import BEGIN, END

RUN = """
import sys
from pathlib import Path
from adapterbot.build.plan import build
from adapterbot.home import Home
from adapterbot.training.recipe import Recipe
data, root, home, recipe, backbone, dry = sys.argv[1:]
recipe, home = Recipe.model_validate_json(recipe), Home(Path(home))
options = {"backbone": backbone, "dry_run": dry == "dry", "announce": print}
built = build(Path(data), recipe=recipe, root=Path(root), home=home, **options)
print("torch" in sys.modules, *built.made)
"""


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little of what the manager reads whole."""
    folder = tmp_path_factory.mktemp("little")
    lines = (DATA / "samples" / "manager.jsonl").read_text(encoding="utf-8").splitlines()
    write(folder / "manager.jsonl", "\n".join(lines[:4]))
    return folder


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch, little: Path) -> None:
    shorten(monkeypatch, little)


def shorten(monkeypatch: pytest.MonkeyPatch, little: Path) -> None:
    monkeypatch.setattr(examples, "SWITCHES", little / "manager.jsonl")


@pytest.fixture(scope="module")
def built(little: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A root in which everything was made; for tests that only look at it."""
    place = place_at(tmp_path_factory.mktemp("built"))
    write(place.root / JUDGE, json.dumps({"history": [], "message": "empathetic one", "label": "empathetic"}))
    reply = {"skill": "weather", "facts": ["oslo: dry"], "history": ["Oslo?"], "reply": "Dry.", "supported": True}
    write(place.root / REPLIES, json.dumps(reply))
    with pytest.MonkeyPatch.context() as monkeypatch:
        shorten(monkeypatch, little)
        assert place.build().made == STEPS
    return place


@pytest.fixture
def copy(built: Place, tmp_path: Path) -> Place:
    """A copy of it to change: where the files lie is no part of what they are."""
    shutil.copytree(built.folder, tmp_path / "copy")
    return Place(tmp_path / "copy")


def test_every_adapter_is_made_for_the_backbone_that_was_named(built: Place) -> None:
    backbone = read_backbone(built.backbone)
    for name in ("empathetic", "weather"):
        folder = built.root / "skills" / name
        with safe_open(folder / "adapter.safetensors", framework="pt") as file:
            assert file.metadata()["backbone"] == backbone.fingerprint
        assert backbone.fingerprint[:16] in (folder / "README.md").read_text(encoding="utf-8")
    weights = built.root / "manager" / "weights"
    assert json.loads((weights / "report.json").read_text())["encoder"] == "dialogue"
    with safe_open(weights / "ranker.safetensors", framework="pt") as file:
        assert file.metadata()["encoder"] == load_encoder("dialogue", weights).fingerprint
    assert not list((built.folder / "home").rglob("*.safetensors"))  # no checkpoint is left behind


def test_the_managers_choose_among_the_skills_of_this_build(built: Place) -> None:
    report = json.loads((built.root / "manager" / "weights" / "report.json").read_text(encoding="utf-8"))
    assert report["classes"] == ["chitchat", "empathetic", "weather"]
    assert report["judged"]["n"] == 1
    assert "clinc_oos" in report["sources"]


def test_the_report_has_all_figures(built: Place) -> None:
    report = json.loads((built.root / "data" / "report.json").read_text(encoding="utf-8"))
    assert list(report) == ["backbone", "empathetic", "weather", "ranker", "manager"]
    assert report["backbone"] == {
        "name": str(built.backbone),
        "fingerprint": read_backbone(built.backbone).fingerprint,
        "parameters": read_backbone(built.backbone).parameter_count,
    }
    assert report["weather"]["replies"] == 4
    assert report["weather"]["data"].startswith("corpus in_car")
    assert 0 <= report["ranker"]["first_among_candidates"] <= 1
    assert 0 <= report["manager"]["accuracy"] <= 1


def test_a_skills_card_has_replies_failures_and_figures(built: Place) -> None:
    card = (built.root / "skills" / "empathetic" / "README.md").read_text(encoding="utf-8")
    figures = card.partition(BEGIN)[2].partition(END)[0]
    report = json.loads((built.root / "data" / "report.json").read_text(encoding="utf-8"))["empathetic"]
    assert [message for message, _ in report["said"]] == ["empathetic one", "empathetic two", "empathetic three"]
    assert all(f"- *{message}*\n  {reply}\n" in figures for message, reply in report["said"])
    assert f"| word F1 | {report['f1']:.1f} (" in figures


def test_labelled_replies_change_the_cards_alone(copy: Place) -> None:
    path = copy.root / REPLIES
    write(path, path.read_text(encoding="utf-8").replace("Dry.", "Wet."))
    assert copy.plan() == {"cards": f"file changed: {REPLIES}"}


def test_known_failures_change_the_card_alone(copy: Place) -> None:
    path = copy.root / "skills" / "empathetic" / "skill.toml"
    write(path, 'limits = ["Says it twice."]\n' + path.read_text(encoding="utf-8"))
    assert copy.plan() == {"cards": "file changed: skills/empathetic/limits"}
    copy.build()
    assert "Known failures:\n\n- Says it twice.\n" in (path.parent / "README.md").read_text(encoding="utf-8")
    assert not copy.plan()


def test_what_was_made_from_what_is_kept_in_order(built: Place) -> None:
    path = built.root / "data" / "models.json"
    records = built.records()
    assert set(records) == set(STEPS)
    assert path.read_text(encoding="utf-8") == json.dumps(records, indent=2, sort_keys=True) + "\n"
    assert set(records["skill weather"]["read"]) == {
        "recipe",
        "backbone",
        "corpus kvret",
        "skills/weather/skill.toml",
        "step skill empathetic",
    }
    assert list(records["skill weather"]["wrote"]) == ["skills/weather/adapter.safetensors"]


def test_a_second_run_makes_nothing_and_loads_no_torch(built: Place) -> None:
    before = contents(built.folder)
    done = run(built, built.root, "wet")
    assert done.splitlines()[-1] == "False"
    assert done.count("up to date") == len(STEPS)
    assert contents(built.folder) == before


def test_a_dry_run_writes_nothing_and_loads_no_torch(built: Place, tmp_path: Path) -> None:
    done = run(built, tmp_path / "new", "dry")
    assert done.splitlines()[-1] == "False"
    assert done.count("to make (never made)") == len(STEPS)
    assert "at most 1 epochs of ed" in done
    assert not list(tmp_path.iterdir())


def run(place: Place, root: Path, mode: str) -> str:
    arguments = [place.data, root, root.parent / "home", recipe().model_dump_json(), place.backbone, mode]
    environment = os.environ | {"ADAPTERBOT_HOME": str(root.parent / "home")}
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_only_what_reads_a_changed_corpus_is_made_again(copy: Place) -> None:
    assert not copy.plan()
    add(copy.data / "clinc_oos" / "train.jsonl", {"text": "is it cold", "label": "weather"})
    before = contents(copy.root)
    assert copy.build().made == (ENCODER, MANAGER, "evaluation report", "cards")
    now = contents(copy.root).items()
    changed = {Path(p).relative_to(copy.root).as_posix() for p, was in now if before.get(p) != was}
    cards = {card.relative_to(copy.root).as_posix() for card in copy.root.glob("*/*/README.md")}
    assert "skills/weather/README.md" in cards
    made = {path for path in changed if path.startswith("manager/weights/")}
    assert made
    assert changed == made | cards | {"data/report.json", "data/models.json"}
    assert not copy.plan()


def test_a_changed_corpus_changes_its_skill_and_those_that_start_from_it(copy: Place) -> None:
    turns = [{"speaker": "user", "text": "hello you"}, {"speaker": "system", "text": "hello there"}]
    add(copy.data / "ed" / "train.jsonl", {"id": "new", "turns": turns})
    plan = copy.plan()
    assert plan["skill empathetic"] == "corpora changed: ed"
    assert plan["skill weather"] == "upstream changed: skill empathetic"
    assert plan["cards"] == "upstream changed: evaluation report"


def test_another_backbone_changes_all_that_stands_on_it(copy: Place) -> None:
    other = make_tiny(seed=1, width=16, layers=2)
    save_backbone(copy.backbone, other.decoder, other.tokenizer, {})
    plan = copy.plan()
    assert plan["skill empathetic"] == plan["skill weather"] == plan["evaluation report"] == "backbone changed"
    assert ENCODER not in plan


def add(path: Path, item: dict[str, Any]) -> None:
    write(path, path.read_text(encoding="utf-8").rstrip("\n") + "\n" + json.dumps(item) + "\n")


def test_an_output_that_is_gone_or_changed_is_made_again(copy: Place) -> None:
    path = copy.root / "manager" / "weights" / "ranker.safetensors"
    whole = path.read_bytes()
    path.write_bytes(b"changed")
    assert copy.plan()[ENCODER] == "file changed: manager/weights/ranker.safetensors"
    path.unlink()
    assert copy.plan()[ENCODER] == "file changed: manager/weights/ranker.safetensors"
    assert copy.build().made == (ENCODER,)  # it came out the same, so the report stays
    assert path.read_bytes() == whole


def test_skills_that_are_trained_side_by_side_are_the_same(copy: Place) -> None:
    made = [copy.root / "skills" / name / "adapter.safetensors" for name in ("empathetic", "weather")]
    before = [load_file(path) for path in made]
    for path in made:
        path.unlink()
    assert set(copy.build(jobs=2).made) == {"skill empathetic", "skill weather", "evaluation report", "cards"}
    for path, tensors in zip(made, before, strict=True):
        again = load_file(path)
        assert again.keys() == tensors.keys()
        assert all(torch.allclose(again[name], tensors[name], atol=1e-3) for name in tensors)
    assert not copy.plan()


def test_hand_written_parts_of_a_card_are_nobodys_business(copy: Place) -> None:
    card = copy.root / "skills" / "empathetic" / "README.md"
    card.write_text(card.read_text(encoding="utf-8") + "\nBy hand.\n", encoding="utf-8")
    assert not copy.plan()
    card.unlink()
    assert copy.plan() == {"cards": "file changed: skills/empathetic/README.md"}
    copy.build()
    assert card.read_text(encoding="utf-8").startswith("# empathetic\n")
    card.write_text(f"Hand-written.\n{BEGIN}\nAll of it.\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"README.md.*stands without"):
        copy.build()
    assert "All of it." in card.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"manager": {"seed": 1}}, ENCODER),
        ({"report": {"most": 5}}, "evaluation report"),
    ],
)
def test_a_changed_setting_changes_what_it_is_for(built: Place, changes: dict[str, dict[str, Any]], first: str) -> None:
    plan = built.plan(**changes)
    assert next(iter(plan)) == first
    assert plan[first] == "recipe changed"
    assert all(why == "recipe changed" or why.startswith("upstream changed") for why in plan.values())


def test_a_cap_on_epochs_counts_only_below_what_the_skill_says(built: Place) -> None:
    assert set(built.plan(skills={"epochs": 2})) == {"skill empathetic", "skill weather", "evaluation report", "cards"}
    own = {name: built.plan(skills={"epochs": cap}) for name, cap in (("five", 5), ("a thousand", 1000))}
    assert own["five"] == own["a thousand"]


def test_a_skill_counts_by_what_it_says(copy: Place) -> None:
    spec = copy.root / "skills" / "empathetic" / "skill.toml"
    text = spec.read_text(encoding="utf-8")
    write(spec, f"# a remark\n{text}")
    assert not copy.plan()
    write(spec, text.replace("bottleneck = 2", "bottleneck = 3"))
    plan = copy.plan()
    assert plan["skill empathetic"] == "file changed: skills/empathetic/skill.toml"
    assert plan["skill weather"] == "upstream changed: skill empathetic"


def test_a_stopped_build_goes_on_where_it_was(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    for stop in ("making skill empathetic", "making skill weather"):

        def announce(line: str, stop: str = stop) -> None:
            if line.startswith(stop):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            place.build(announce=announce)
    assert set(place.records()) == {"skill empathetic"}
    assert list(place.plan()) == list(STEPS[1:])
