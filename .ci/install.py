"""Installs adapterbot and what it needs: `python .ci/install.py app|tools`, into the environment of that Python.

Every file that pip fetches is held to a hash in constraints.txt, but for torch's: it may be the CPU build or the CUDA
build, from an index or from a local file. pip knows hashes for all requirements of a run or for none, and none for a
project that is installed as it lies (editable), so there are three runs. `--versions` prints the pins without hashes,
as `pip install -c` takes them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = {"app": ("app", "backbone"), "tools": ("app", "backbone", "tools")}
SECTION = re.compile(r"^# \[(\w+)\]", re.MULTILINE)


def sections() -> dict[str, str]:
    """The parts of constraints.txt under their names: torch, app, backbone, tools."""
    _head, *named = SECTION.split((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    bodies = (body.partition("\n")[2] for body in named[1::2])  # the heading's own line goes
    return dict(zip(named[::2], bodies, strict=True))


def versions(text: str) -> str:
    """The pins in `text`, a line each, without hashes."""
    pins = (line.rstrip("\\ ") for line in text.splitlines() if line[:1].isalnum())
    return "".join(f"{pin}\n" for pin in pins)


def install(what: str) -> None:
    """Install the libraries by hash, torch by version, and the project as it lies.

    Raises:
        subprocess.CalledProcessError: a run of pip failed; it has said why.
    """
    parts = sections()
    pip = [sys.executable, "-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check", "install"]
    with tempfile.TemporaryDirectory() as folder:
        hashed, torch = Path(folder, "hashed.txt"), Path(folder, "torch.txt")
        hashed.write_text("".join(parts[name] for name in PARTS[what]), encoding="utf-8")
        torch.write_text(versions(parts["torch"]), encoding="utf-8")
        # no sdists: what builds them would be fetched without a hash
        by_hash = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(hashed)]
        subprocess.run([*pip, *by_hash], check=True)
        subprocess.run([*pip, "--constraint", str(torch), "torch"], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--versions"]:
            print("".join(versions(part) for part in sections().values()), end="")
        case [what] if what in PARTS:
            try:
                install(what)
            except subprocess.CalledProcessError as error:
                sys.exit(error.returncode)
        case _:
            sys.exit(f"usage: python .ci/install.py {'|'.join(PARTS)} | --versions")
