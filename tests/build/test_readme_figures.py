"""README.md and the cards give the figures of the report, and no others."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from adapterbot.build.ledger import BuildFolder
from adapterbot.build.readme import measured_grounding, readme_figures, write_figures
from adapterbot.home import Home
from adapterbot.manager.classifier import CLASSIFIER, read_settings
from adapterbot.manager.training.card import card
from adapterbot.spec.folders import SkillFolders
from adapterbot.training.card import BEGIN, END, card_figures, figures_in

ROOT = Path(__file__).resolve().parent.parent.parent
DIGITS = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?\b")


@pytest.fixture
def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "data" / "report.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def trained() -> dict[str, Any]:
    ledger = json.loads((ROOT / "data" / "models.json").read_text(encoding="utf-8"))
    return {name: step["figures"] for name, step in ledger.items()}


@pytest.fixture(scope="module")
def grounding(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return measured_grounding(BuildFolder(ROOT, Home(tmp_path_factory.mktemp("home"))))


def test_readme_has_the_figures_of_the_report(
    report: dict[str, Any], trained: dict[str, Any], grounding: dict[str, Any]
) -> None:
    shown = figures_in(ROOT / "README.md").strip()
    assert shown == readme_figures(report, trained, grounding), "write them anew: python -m adapterbot.build.readme"


def test_readme_tells_what_the_check_of_replies_is_worth(grounding: dict[str, Any]) -> None:
    right = f"passes {grounding['passed']} of the {grounding['supported']} that their facts support"
    wrong = f"refuses {grounding['refused']} of the {grounding['unsupported']} that they do not"
    assert f"{right}, and {wrong}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_without_labelled_replies_nothing_is_said_of_them(
    tmp_path: Path, report: dict[str, Any], trained: dict[str, Any]
) -> None:
    assert measured_grounding(BuildFolder(tmp_path, Home(tmp_path))) == {}
    assert "labelled by hand" not in readme_figures(report, trained, {})


def test_every_skill_with_an_adapter_has_a_row(report: dict[str, Any], trained: dict[str, Any]) -> None:
    figures = readme_figures(report, trained, {})
    adapted = [path.parent.name for path in (ROOT / "skills").glob("*/adapter.safetensors")]
    assert adapted
    assert not [name for name in adapted if f"\n| {name} | " not in figures]


@pytest.mark.parametrize("name", [path.parent.name for path in sorted((ROOT / "skills").glob("*/adapter.safetensors"))])
def test_a_skills_card_has_the_figures_of_the_report(name: str, tmp_path: Path, report: dict[str, Any]) -> None:
    spec, figures = SkillFolders(Home(tmp_path)).load(name), report[name]
    assert figures_in(ROOT / "skills" / name / "README.md").strip() == card_figures(spec, figures["said"], figures)


def test_the_managers_card_is_written_from_its_report() -> None:
    out = ROOT / "manager" / "weights"
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert (out / "README.md").read_text(encoding="utf-8") == card(report, read_settings(out / CLASSIFIER), out)


def test_no_figure_of_that_section_stands_outside_the_marks() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## How good it is")[2].partition("\n## ")[0]
    outside = section.partition(BEGIN)[0] + section.partition(END)[2]
    assert "--backbone" in outside
    assert not DIGITS.findall(outside)


def test_what_changes_in_the_report_changes_in_the_readme(
    tmp_path: Path, report: dict[str, Any], trained: dict[str, Any]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# ours\n\n{BEGIN}\nold\n{END}\n\nthe end\n", encoding="utf-8")
    write_figures(readme, report, trained, {})
    changed = copy.deepcopy(report)
    changed["wiki"]["f1"] = 12.34
    ways = [f"style success, {kind}{way}" for kind in ("", "fluency, ") for way in ("bare", "1 draft", "10 drafts")]
    changed["joy"] |= dict.fromkeys(ways, 0.5) | {"style success, 1 draft": 0.01}
    write_figures(readme, changed, trained, {})
    after = readme.read_text(encoding="utf-8")
    assert "| 12.3 (" in after
    assert "| 1% |" in after
    assert after.startswith("# ours\n")
    assert after.endswith("the end\n")


@pytest.mark.parametrize("text", ["# somebody else's\n", None])
def test_a_readme_without_marks_stays_as_it_is(
    tmp_path: Path, text: str | None, report: dict[str, Any], trained: dict[str, Any]
) -> None:
    readme = tmp_path / "README.md"
    if text is not None:
        readme.write_text(text, encoding="utf-8")
    write_figures(readme, report, trained, {})
    assert (readme.read_text(encoding="utf-8") if readme.exists() else None) == text
