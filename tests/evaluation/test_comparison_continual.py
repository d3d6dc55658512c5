"""Skills learnt one after the other: adapters forget nothing, one tuned model does, and less where it is held."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from haiku import write_skill

from adapterbot.evaluation.comparison import continual
from adapterbot.evaluation.comparison.budget import Sizing, count_of
from adapterbot.evaluation.comparison.continual import ADAPTERS, TUNED, Course, Stages, Wish, course_of
from adapterbot.evaluation.comparison.page import CONTINUAL, write_page
from adapterbot.evaluation.comparison.report import Comparison
from adapterbot.home import Home
from adapterbot.network.backbone import Backbone, fingerprint_of
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import AdapterTable
from adapterbot.training.corpus import load_corpus


def two_skills(backbone: Backbone, home: Home) -> Stages:
    """The tests' own skill, and one that answers the same questions otherwise."""
    write_skill(home)
    other = home.skills / "prose"
    other.mkdir()
    (other / "skill.toml").write_text((home.skills / "haiku" / "skill.toml").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (home.skills / "haiku" / "talk.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        line["turns"][1]["text"] = f"Honestly, who would ever care about {number} of them today?"
    (other / "talk.jsonl").write_text("\n".join(map(json.dumps, lines)))
    specs = [SkillFolders(home).load(name) for name in ("haiku", "prose")]
    return Stages(backbone, home, specs, {spec.name: load_corpus(spec) for spec in specs})


def wishes(backbone: Backbone) -> list[Wish]:
    table = AdapterTable(bottleneck=8)
    count = count_of(table, backbone.shape)
    return [
        Wish(ADAPTERS, 0, Sizing(0.01, table, count, count / backbone.parameter_count)),
        *(Wish(method, 0) for method in TUNED),
    ]


def quicken(patch: pytest.MonkeyPatch) -> None:
    """Higher rates: a tiny model of random weights has much to learn in few steps."""
    patch.setattr(continual, "RATE", 3e-3)
    patch.setattr(continual, "rate_of", lambda type: 2e-2)


@pytest.fixture(scope="module")
def learnt(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Course], Home]:
    """A course of each method, by its name."""
    home = Home(tmp_path_factory.mktemp("continual"))
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        courses = two_skills(tiny, home).courses(wishes(tiny))
        return {course.method: course for course in courses}, home


Learnt = tuple[dict[str, Course], Home]


def test_adapters_forget_nothing(learnt: Learnt, tiny: Backbone) -> None:
    course = learnt[0]["residual 1%"]
    (first, unlearnt), (still, second) = course.bits
    assert still == first < 0.95 * course.bare[0]
    assert unlearnt == pytest.approx(course.bare[1])  # no adapter of its own yet: the bare backbone
    assert second < 0.95 * course.bare[1]
    assert course.forgotten == 0
    assert course.parameters == 2 * count_of(AdapterTable(bottleneck=8), tiny.shape)
    assert fingerprint_of(tiny.decoder.state_dict()) == tiny.fingerprint


def test_a_model_that_is_tuned_on_forgets_and_less_where_it_is_held(learnt: Learnt, tiny: Backbone) -> None:
    courses = learnt[0]
    assert courses["vanilla"].bits[0][0] < 0.95 * courses["vanilla"].bare[0]
    assert courses["vanilla"].forgotten > 0.01
    for method in ("recadam", "ewc", "replay"):
        assert courses[method].forgotten < courses["vanilla"].forgotten, method
        assert courses[method].bits[1][1] < 0.98 * courses[method].bare[1], "and it learns the second"
    assert {courses[method].parameters for method in TUNED} == {tiny.parameter_count}


def test_methods_differ_where_they_should(learnt: Learnt) -> None:
    courses = learnt[0]
    assert courses["ewc"].bits[0] == courses["replay"].bits[0] == courses["vanilla"].bits[0]  # nothing to hold yet
    assert courses["recadam"].bits[0] != courses["vanilla"].bits[0]  # the backbone is recalled from the start
    assert len({course.bits[1] for course in courses.values()}) == 5
    assert len({course.bare for course in courses.values()}) == 1


def test_a_course_that_is_done_is_not_made_again(
    learnt: Learnt, tiny: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    courses, home = learnt
    quicken(monkeypatch)
    specs = [SkillFolders(home).load(name) for name in ("haiku", "prose")]
    stages = Stages(tiny, home, specs, {spec.name: load_corpus(spec) for spec in specs})
    assert [stages.done(wish) for wish in wishes(tiny)] == list(courses.values())
    other = Stages(tiny, home, specs[::-1], stages.corpora)
    assert not any(other.done(wish) for wish in wishes(tiny)), "another order is another course"
    assert not any(stages.done(Wish(method, 1)) for method in TUNED)
    assert course_of(json.loads(json.dumps(asdict(courses["ewc"])))) == courses["ewc"]


ABOUT = {
    "when": "2026",
    "device": "here",
    "backbone": "tiny",
    "parameters": 1,
    "data": {},
    "tokens": None,
    "seeds": [0],
}


def test_tables_and_page_have_every_skill_after_every_stage(tmp_path: Path) -> None:
    bits = ((1.0, 2.5), (1.25, 1.5))
    course = Course("vanilla", ("a", "b"), 0, "all weights", 2_000_000, (4, 5), (2.0, 3.0), bits)
    again = Course("vanilla", ("a", "b"), 1, "all weights", 2_000_000, (4, 5), (2.0, 3.0), ((1.2, 2.5), (1.65, 1.7)))
    found = Comparison(ABOUT, courses=[course, again])
    stages, ends = found.course_grids()
    assert stages.rows == (
        ("bare", "", "2.0000", "3.0000"),
        ("vanilla", "a", "1.1000", "2.5000"),
        ("vanilla", "b", "1.4500", "1.6000"),
    )
    assert ends.rows == (("vanilla", "2.00M", "9", "1.5250", "+0.3500"),)
    written = write_page(tmp_path, found)
    assert [path.name for path in written] == ["README.md", "stages.svg"]
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.index(CONTINUAL[0]) < page.index("| vanilla | b | 1.4500 |") < page.index(CONTINUAL[1])
    drawn = (tmp_path / "stages.svg").read_text(encoding="utf-8")
    assert all(f"<!-- {text} -->" in drawn for text in ("vanilla", "bare backbone", "after a", "bits per byte of a"))
