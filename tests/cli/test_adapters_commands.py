"""`adapterbot adapters import` and `export`, as a user calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import random_adapter
from typer.testing import CliRunner

from adapterbot.cli import app
from adapterbot.errors import AdapterError, UnknownNameError
from adapterbot.home import Home
from adapterbot.network.adapters.file import load_adapter
from adapterbot.network.backbone import read_backbone


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["adapters", *arguments])
    if done.exception is not None:
        raise done.exception
    return done.output


def test_a_skill_goes_out_and_comes_in(on_tiny: None, tiny_folder: Path, home: Home, tmp_path: Path) -> None:
    backbone = read_backbone(tiny_folder)
    random_adapter(backbone, home.skills / "wiki" / "adapter.safetensors", 1)
    folder = tmp_path / "out"
    assert f"wrote {folder}" in run("export", "wiki", str(folder), "--format", "adapterhub")
    assert "joy answers with this residual adapter" in run("import", str(folder), "joy")
    ours, theirs = (
        load_adapter(home.skills / n / "adapter.safetensors", backbone.shape, backbone.fingerprint)
        for n in ("wiki", "joy")
    )
    assert all((theirs.tensors[name] == tensor).all() for name, tensor in ours.tensors.items())
    with pytest.raises(AdapterError, match="PEFT has no adapter of type 'residual'"):
        run("export", "wiki", str(folder))
    with pytest.raises(UnknownNameError, match="did you mean 'joy'"):
        run("import", str(folder), "jooy")
