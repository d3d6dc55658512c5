"""The wheel is the whole product: built from the source archive, installed without the checkout, it answers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from conftest import used_before
from packaging.requirements import Requirement

import adapterbot
from adapterbot.home import Home
from adapterbot.network import kernels
from adapterbot.network.names import PINNED

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"adapterbot": "adapterbot", **{name: f"adapterbot/{name}" for name in ("skills", "manager", "ui", "data")}}
LITTER = shutil.ignore_patterns("__pycache__", "*.pyc", "*.so", ".*", "*.egg-info", "dist", "tests")


def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive and the wheel made from it, out of a copy of the checkout."""
    source, out = tmp_path_factory.mktemp("source") / "tree", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, ignore=LITTER)
    shutil.rmtree(source / "build", ignore_errors=True)  # what another build left there
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-2000:]
    assert "absent from the" not in said
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("adapterbot-*.whl")
    return path


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a new environment with the wheel, and with the libraries of this one.

    The libraries come as one plain path: `.pth` files are not read there, so that this environment's editable
    install of the checkout stays out.
    """
    root = tmp_path_factory.mktemp("clean") / "with a space"
    venv.create(root, with_pip=False)
    scripts = root / ("Scripts" if os.name == "nt" else "bin")
    target = ["--python", str(scripts / "python"), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *target], check=True)
    (purelib,) = root.rglob("site-packages")
    (purelib / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def run(clean: Path, cwd: Path, *command: str) -> str:
    """What `command` of the clean environment prints, started in `cwd`; fails with its errors."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ADAPTERBOT"))}
    environment |= {"ADAPTERBOT_HOME": str(cwd / "home"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    program = [str(clean / command[0]), *command[1:]]
    done = subprocess.run(program, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_every_package_but_pictures(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT / folder).as_posix()
            if path.suffix == ".png":
                assert f"{package}/{name}" not in inside
            elif path.is_file() and "__pycache__" not in name and not path.name.startswith("."):
                assert f"{package}/{name}" in inside, f"{folder}/{name}: add a pattern to package-data"


def test_the_wheel_is_compiled_as_this_environment_is(clean: Path, tmp_path: Path) -> None:
    code = "from adapterbot.network import kernels; print(kernels.usable())"
    assert run(clean, tmp_path, "python", "-c", code).strip() == str(kernels.usable())


def test_the_wheel_has_every_skill(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    skills = [path.name for path in (ROOT / "skills").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert skills
    assert not [name for name in skills if f"adapterbot/skills/{name}/skill.toml" not in inside]


def test_the_wheel_has_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"adapterbot", f"adapterbot-{adapterbot.__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_the_source_archive_has_the_licence(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        assert any(name.endswith("/LICENSE") for name in tar.getnames())


def test_every_part_comes_from_the_wheel(clean: Path, tmp_path: Path) -> None:
    code = (
        "import adapterbot.manager, adapterbot.skills, adapterbot.ui, adapterbot.data.corpora, adapterbot.knowledge\n"
    )
    code += "import sys; print([m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'adapterbot'])"
    files = run(clean, tmp_path, "python", "-c", code)
    assert "with a space" in files
    assert str(ROOT) not in files


def test_the_wheel_answers(clean: Path, tmp_path: Path, prepared: Path) -> None:
    used_before(Home(tmp_path / "home"), prepared)
    reply = json.loads(run(clean, tmp_path, "adapterbot", "respond", "hello", "--json"))
    assert reply["text"]
    assert reply["skill"] in reply["scores"]


def test_every_shipped_skill_is_sound_in_the_wheel(clean: Path, tmp_path: Path, prepared: Path) -> None:
    used_before(Home(tmp_path / "home"), prepared)
    report = run(clean, tmp_path, "adapterbot", "skills", "--check")
    assert not [path.parent.name for path in (ROOT / "skills").glob("*/skill.toml") if path.parent.name not in report]


def pins() -> dict[str, str]:
    """What constraints.txt pins, by name: the section, then the pin with its marker and hashes."""
    found, section = {}, ""
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"# \[(\w+)\]", line):
            section = heading[1]
        elif entry := re.match(r"([A-Za-z0-9._-]+)==[0-9][0-9a-z.]*( ;.*)?( \\)?$", line):
            name = normal(entry[1])
            found[name] = f"{section} {line}"
        else:
            assert re.fullmatch(r"#.*|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
            found |= {} if line.startswith("#") else {name: found[name] + line.strip()}
    return found


def wanted(*extras: str) -> set[str]:
    """The libraries that the project asks for, with these extras."""
    asked = sum((project()["optional-dependencies"][extra] for extra in extras), project()["dependencies"])
    return {normal(re.split(r"[\[<>=~! ]", one)[0]) for one in asked} - {"adapterbot"}


def test_the_changelog_begins_with_this_version() -> None:
    found = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    assert found[1] in (adapterbot.__version__, "Unreleased")


def test_constraints_hold_every_file_to_a_hash_but_torchs() -> None:
    unchecked = {name for name, entry in pins().items() if "--hash=sha256:" not in entry}
    assert {name for name in unchecked if not name.startswith(("nvidia-", "cuda-"))} == {"torch", "triton"}
    assert all(pins()[name].startswith("torch ") for name in unchecked)


def test_constraints_pin_every_requirement() -> None:
    extras = project()["optional-dependencies"]
    assert not (missing := wanted(*extras) - pins().keys()), f"run .ci/pins: {missing} are not pinned"
    app = {name for name, entry in pins().items() if entry.startswith(("app ", "torch "))}
    assert not wanted("hub", "ui") - app


def test_constraints_pin_all_that_the_pinned_libraries_need() -> None:
    for name, entry in pins().items():
        if entry.startswith("backbone "):  # weights, whose own runtime is not needed
            continue
        with contextlib.suppress(PackageNotFoundError):  # another platform's
            needs = [Requirement(one) for one in distribution(name).requires or []]
            here = {normal(need.name) for need in needs if not need.marker or need.marker.evaluate({"extra": ""})}
            held = {other for other, its in pins().items() if its.split()[0] in ("torch", "app", entry.split()[0])}
            assert not here - held, f"run .ci/pins: {name} needs {here - held}"


def test_the_weights_are_those_that_are_recognised() -> None:
    pinned = PINNED["smollm2"]
    version = pinned.wheel.split("-")[1]
    assert pins()[pinned.project] == f"backbone {pinned.project}=={version} \\--hash=sha256:{pinned.wheel_sha256}"


def test_floors_leave_out_releases_with_advisories() -> None:
    floors = {need.name: need.specifier for need in map(Requirement, sum(extras_of(), project()["dependencies"]))}
    assert not floors["transformers"].contains("5.4.9")
    assert not floors["gradio"].contains("6.15.9")


def test_pins_satisfy_what_the_project_asks_for() -> None:
    for need in map(Requirement, sum(extras_of(), project()["dependencies"])):
        if normal(need.name) != "adapterbot":
            pinned = re.search(r"==([0-9a-z.]+)", pins()[normal(need.name)])
            assert pinned
            assert need.specifier.contains(pinned[1]), need


def extras_of() -> list[list[str]]:
    """The requirements of every extra."""
    return list(project()["optional-dependencies"].values())
