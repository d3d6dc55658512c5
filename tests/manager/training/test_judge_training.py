"""`train-judge` on a small folder of pairs: what is read, made by rule, learnt, calibrated and written."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapterbot.cli.app import app
from adapterbot.errors import DataError
from adapterbot.manager.encoder import minilm
from adapterbot.manager.judge import CONTRADICTS, ENTAILS, JUDGE, NEITHER, load_judge
from adapterbot.manager.training import pair_forms
from adapterbot.manager.training.judge import JudgeTraining, train_judge
from adapterbot.manager.training.pairs import Pair, alternatives, read_pairs
from adapterbot.manager.training.self_told import self_told

ANIMALS = ("cat", "dog", "horse", "goat", "hen", "pig", "cow", "duck")


def rows() -> list[dict[str, str]]:
    found = []
    for i, animal in enumerate(ANIMALS):
        other = ANIMALS[i - 1]
        for said, label in ((f"I have a {animal}", ENTAILS), (f"I have no {animal}", CONTRADICTS)):
            found.append({"premise": f"I have a {animal}.", "hypothesis": said, "label": label})
        found.append({"premise": f"I have a {animal}.", "hypothesis": f"I saw a {other} in town", "label": NEITHER})
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "pairs" / "animals"
    own.mkdir(parents=True)
    lines = [json.dumps(row) + "\n" for row in rows()]
    with gzip.open(own / "train.jsonl.gz", "wt") as stream:
        stream.writelines(lines * 4)
    (own / "valid.jsonl").write_text("".join(lines[:15]))
    return own.parent


def test_a_small_judge_learns_its_pairs_and_is_written(folder: Path, tmp_path: Path) -> None:
    steps = []
    settings = JudgeTraining(epochs=6, first=4, rank=8, rate=4e-3, batch=32, forms=0, told=0)
    report = train_judge(
        folder, minilm(), tmp_path / "out", settings, lambda done, total, loss: steps.append((done, total))
    )
    assert steps[-1][0] == steps[-1][1] == len(steps)
    judge = load_judge(tmp_path / "out" / JUDGE, minilm())
    assert judge.settings.metrics == report
    assert report["animals"]["accuracy"] >= 0.9 > report["animals"]["majority"]
    yes, no = judge.judge([("I have a duck.", "I have a duck"), ("I have a duck.", "I have no duck")])
    assert yes.entails > 0.5
    assert no.contradicts > 0.5


def test_bad_pairs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no NAME/train"):
        read_pairs(tmp_path, "train")
    (tmp_path / "a").mkdir()
    good = json.dumps(rows()[0])
    (tmp_path / "a" / "train.jsonl").write_text(f"{good}\n{good.replace('entails', 'maybe')}\n")
    with pytest.raises(DataError, match=r"train.jsonl:2: not .*contradicts"):
        read_pairs(tmp_path, "train")
    (tmp_path / "a" / "train.jsonl.gz").write_bytes(b"no gzip")
    (tmp_path / "a" / "train.jsonl").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs(tmp_path, "train")
    found = CliRunner().invoke(app, ["evaluate", "entailment"])
    assert found.exit_code
    assert "labelled pairs" in " ".join((found.output + str(found.exception)).split())


def test_a_set_that_tells_two_apart_is_read_so(tmp_path: Path) -> None:
    for name in ("rte", "prosecco", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "valid.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()[:3]))
    found = read_pairs(tmp_path, "valid")
    assert found["rte"][2].labels == (CONTRADICTS, NEITHER)
    assert found["prosecco"][2].labels == (ENTAILS, NEITHER)
    assert found["other"][2].sure == NEITHER
    assert alternatives(found["rte"]) == [(ENTAILS,), (CONTRADICTS, NEITHER)]
    assert alternatives(found["other"]) == [(ENTAILS,), (CONTRADICTS,), (NEITHER,)]


@pytest.mark.parametrize(
    ("form", "pair", "labels"),
    [
        (pair_forms.negated, Pair("It rains.", "The street is wet.", (ENTAILS,)), {CONTRADICTS}),
        (pair_forms.negated, Pair("It rains.", "The street is dry.", (CONTRADICTS,)), {ENTAILS}),
        (pair_forms.affirmed, Pair("It rains.", "The street is dry.", (CONTRADICTS,)), {CONTRADICTS}),
        (pair_forms.reported, Pair("It rains.", "The street is wet.", (ENTAILS,)), {NEITHER}),
        (pair_forms.doubted, Pair("It rains.", "The street is wet.", (ENTAILS,)), {NEITHER}),
        (pair_forms.denied, Pair("It rains in Oslo.", "The street is wet.", (ENTAILS,)), {CONTRADICTS}),
    ],
)
def test_a_frame_turns_keeps_or_drops_the_label(pair_forms_draw: random.Random, form, pair, labels) -> None:  # type: ignore[no-untyped-def]
    made = [form(pair, [pair], pair_forms_draw) for _ in range(20)]
    assert {label for one in made for label in one.labels} == labels
    assert all((one.premise, one.statement) != (pair.premise, pair.statement) for one in made)


@pytest.fixture
def pair_forms_draw() -> random.Random:
    return random.Random(0)


def test_a_number_that_differs_contradicts_and_a_bound_is_reckoned(pair_forms_draw: random.Random) -> None:
    pair = Pair("The van has 12 seats and 4 doors.", "The van has 12 seats.", (ENTAILS,))
    for _ in range(60):
        made = pair_forms.renumbered(pair, [pair], pair_forms_draw)
        assert made is not None
        words = made.statement.removeprefix("The van has ").removesuffix(" seats.").split()
        number = int(words[-1])
        holds = {"more": number < 12, "least": number <= 12, "fewer": number > 12, "most": number >= 12}
        bound = next((word for word in words if word in holds), "")
        assert number != 12
        assert made.labels == ((ENTAILS,) if bound and holds[bound] else (CONTRADICTS,))
    bounded = Pair("The van has 12 seats.", "The van has more than 12 seats.", (ENTAILS,))
    assert pair_forms.renumbered(bounded, [bounded], pair_forms_draw) is None


def test_what_people_say_of_themselves_has_all_labels(pair_forms_draw: random.Random) -> None:
    made = [self_told(pair_forms_draw) for _ in range(400)]
    counts = {label: sum(pair.sure == label for pair in made) for label in (ENTAILS, CONTRADICTS, NEITHER)}
    assert min(counts.values()) > 60
    assert not [pair for pair in made if "{" in pair.premise + pair.statement]
