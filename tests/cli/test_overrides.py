"""`skills` and `doctor` show what of the user's replaces what ships; few samples never do so unasked."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapterbot.bot import Bot
from adapterbot.cli import app
from adapterbot.cli.skills import list_skills, overrides
from adapterbot.cli.training import check_replaced
from adapterbot.errors import DataError
from adapterbot.home import Home
from adapterbot.spec.folders import PACKAGE_SKILLS, SkillFolders


def test_nothing_is_replaced_in_a_fresh_home(home: Home) -> None:
    assert overrides(home) == {}


def test_what_is_replaced_is_shown_and_undone(
    tiny_bot: Bot, home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copy(PACKAGE_SKILLS / "wiki" / "skill.toml", home.skills / "wiki" / "skill.toml")
    list_skills(tiny_bot, as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["wiki"]["overrides"].keys() == {"skill.toml", "adapter"}
    assert rows["empathetic"]["overrides"] == {"adapter": str(home.skills / "empathetic" / "adapter.safetensors")}
    assert rows["joy"]["overrides"] == {}
    list_skills(tiny_bot, as_json=False)
    out = capsys.readouterr().out
    assert f"empathetic: your adapter {home.skills / 'empathetic' / 'adapter.safetensors'} replaces what ships" in out
    subprocess.run(shlex.split(rows["wiki"]["undo"]), check=True)
    assert "wiki" not in overrides(home)


def test_the_doctor_tells_it_too(home: Home, on_tiny: None) -> None:
    folder = home.skills / "persona"
    folder.mkdir(parents=True)
    shutil.copy(PACKAGE_SKILLS / "persona" / "adapter.safetensors", folder)
    (home.manager).mkdir(parents=True)
    (home.manager / "note").write_text("")
    out = CliRunner().invoke(app, ["doctor"]).stdout
    assert f"yours    persona: your adapter {folder / 'adapter.safetensors'} replaces what ships; undo: rm " in out
    assert f"yours    manager: {home.manager} replaces what ships; undo: rm -r {home.manager}" in out


def test_few_samples_replace_no_trained_adapter(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = SkillFolders(home)
    spec, adapter = folders.load("empathetic"), folders.adapter_file("empathetic")
    assert adapter is not None
    with pytest.raises(DataError, match=r"from the 48 sample dialogues alone.*--data.*--force"):
        check_replaced(spec, adapter, None)
    check_replaced(spec, None, None)
    check_replaced(spec, adapter, "talk.jsonl")
    monkeypatch.setenv("ADAPTERBOT_CORPORA", str(tmp_path))
    check_replaced(spec, adapter, None)


def test_a_refused_training_leaves_nothing(home: Home) -> None:
    result = CliRunner().invoke(app, ["train-skill", "empathetic"])
    assert isinstance(result.exception, DataError)
    assert not home.skills.exists()
