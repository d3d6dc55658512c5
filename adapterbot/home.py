"""Every path that adapterbot writes to, all of them under ADAPTERBOT_HOME (default: ~/.adapterbot)."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def shipped(folder: str) -> Path:
    """Where `data` or `skills` lies: inside this package in a wheel, beside it in an editable install."""
    found = importlib.util.find_spec(f"adapterbot.{folder}")
    places = list(found.submodule_search_locations or []) if found else []
    return Path(places[0]) if places else Path(__file__).parent / folder


DATA = shipped("data")  # samples, knowledge and the embedded backbone


@dataclass(frozen=True, slots=True)
class Home:
    """The user's folder. Nothing is created until something is written."""

    root: Path

    @classmethod
    def at(cls, path: str | os.PathLike[str] | None = None) -> Home:
        """The folder given, else $ADAPTERBOT_HOME, else ~/.adapterbot."""
        chosen = path or os.environ.get("ADAPTERBOT_HOME") or Path.home() / ".adapterbot"
        return cls(Path(chosen).expanduser().absolute())

    @property
    def skills(self) -> Path:
        """A user's own skills and trained adapters, one folder each."""
        return self.root / "skills"

    @property
    def manager(self) -> Path:
        """A manager that the user trained; it takes precedence over the shipped one."""
        return self.root / "manager"

    @property
    def knowledge(self) -> Path:
        """Search indexes and imported knowledge."""
        return self.root / "knowledge"

    @property
    def training(self) -> Path:
        """Checkpoints of trainings that have not ended."""
        return self.root / "training"

    @property
    def database(self) -> Path:
        """Conversations (SQLite)."""
        return self.root / "adapterbot.sqlite3"


@contextlib.contextmanager
def written_by_rename(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it becomes `path`, else it is removed.

    Whoever reads `path` sees the old file or the new one, never a half.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def switched_on(*names: str) -> bool:
    """Whether one of these environment variables says yes."""
    return any(os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on") for name in names)


def is_inside(path: Path, root: Path) -> bool:
    """Whether `path`, links followed, stays inside `root`."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
