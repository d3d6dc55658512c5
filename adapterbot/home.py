"""Every path that adapterbot writes to, all of them under ADAPTERBOT_HOME (default: ~/.adapterbot), and how files are
read and written: regular files alone, a line at most so long, whole or not at all, and for nobody else in the home.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import importlib.util
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, AnyStr

from adapterbot.errors import WriteError

# in the home, for its owner alone
FOLDER_MODE = 0o700
FILE_MODE = 0o600
STALE = 3600.0  # seconds after which what a killed program had begun to write is removed
HALF = ".part"  # how the name ends of what is not yet whole
EARLIER = re.compile(r"\..+\.[a-z0-9_]{8}")  # and what it was called in the knowledge folder up to 0.1
NO_FILE = "not a regular file (a device, a pipe or a socket)"


def shipped(folder: str) -> Path:
    """Where `data` or `skills` lies: inside this package in a wheel, beside it in an editable install."""
    found = importlib.util.find_spec(f"adapterbot.{folder}")
    places = list(found.submodule_search_locations or []) if found else []
    return Path(places[0]) if places else Path(__file__).parent / folder


DATA = shipped("data")  # samples and knowledge
_homes: set[Path] = set()  # the roots that this process has named: what is written below them is private


@dataclass(frozen=True, slots=True)
class Home:
    """The user's folder. Nothing is created until something is written; it is then its owner's alone."""

    root: Path

    def __post_init__(self) -> None:
        _homes.add(self.root)

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
    def backbones(self) -> Path:
        """Language models that were fetched."""
        return self.root / "backbones"

    @property
    def query(self) -> Path:
        """The user's own adapter that writes queries."""
        return self.root / "queries"

    @property
    def training(self) -> Path:
        """Checkpoints of trainings that have not ended."""
        return self.root / "training"

    @property
    def comparisons(self) -> Path:
        """What `adapterbot compare` has measured."""
        return self.root / "comparisons"

    @property
    def database(self) -> Path:
        """Conversations (SQLite)."""
        return self.root / "adapterbot.sqlite3"

    def tidy(self) -> None:
        """Close what is there to other people, and remove what killed programs had begun to write.

        Only adapterbot's own folders and its database are touched. What cannot be changed (a read-only disk, another
        owner) stays as it is.
        """
        if not self.root.is_dir():
            return
        _close(self.root)
        for path in self.root.glob(f"{self.database.name}*"):  # the database and its log
            _restrict(path, FILE_MODE)
        for folder in (self.skills, self.manager, self.knowledge, self.backbones, self.training, self.comparisons):
            for place, _, names in os.walk(folder):
                _restrict(Path(place), FOLDER_MODE)
                for name in names:
                    _restrict(Path(place, name), FILE_MODE)
                _sweep(Path(place).glob(f".*{HALF}*"))
        _sweep(path for path in self.knowledge.glob(".*") if EARLIER.fullmatch(path.name))


def private_folder(folder: Path) -> None:
    """Make `folder` and those above it that are missing; below a home they are its owner's alone.

    Raises:
        OSError: it cannot be made.
    """
    home = _home_of(folder)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if home is not None:
        for place in missing:
            if place.is_relative_to(home):
                _restrict(place, FOLDER_MODE)
        _close(home)


def private_file(path: Path) -> None:
    """Close `path`, if it is there and below a home, to everybody but its owner."""
    if _home_of(path) is not None:
        _restrict(path, FILE_MODE)


def _home_of(path: Path) -> Path | None:
    """The home that `path` lies in, None for any other place."""
    return next((root for root in _homes if path.absolute().is_relative_to(root)), None)


def _close(root: Path) -> None:
    """Close a home's folder, unless other things live in it: a person's whole home folder, or one like /tmp."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: nobody knows where the person's folder is
        shared = root.stat().st_mode & stat.S_ISVTX or Path.home().is_relative_to(root)
        if not shared:
            _restrict(root, FOLDER_MODE)


def _restrict(path: Path, mode: int) -> None:
    """Take away what `mode` does not allow; links are not followed, and Windows has no such modes."""
    with contextlib.suppress(OSError):
        found = path.lstat().st_mode
        if os.name == "posix" and not stat.S_ISLNK(found) and stat.S_IMODE(found) & ~mode:
            path.chmod(stat.S_IMODE(found) & mode)


def _sweep(halves: Iterable[Path]) -> None:
    """Remove those files that nobody has written to for an hour: the program that began them was killed."""
    for path in halves:
        with contextlib.suppress(OSError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime > STALE:
                path.unlink()


@contextlib.contextmanager
def written_by_rename(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it becomes `path`, else it is removed.

    Whoever reads `path` sees the old file or the new one, never a half. Below a home it is its owner's alone.

    Raises:
        WriteError: the disk is full or read-only, or the folder cannot be written; the message names `path`.
    """
    temporary = None
    try:
        private_folder(path.parent)
        _sweep(path.parent.glob(f".{glob.escape(path.name)}.*{HALF}*"))
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=HALF, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        if os.name == "posix":
            temporary.chmod(0o644 if _home_of(path) is None else FILE_MODE)
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, WriteError) or not _about(error, path, temporary):
            raise  # of another file, which the block was reading
        raise WriteError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from None
    except Exception as error:
        if type(error).__name__ != "SafetensorError":  # by name: this room needs nothing that has to be installed
            raise
        raise WriteError(errno.EIO, str(error), str(path)) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _about(error: OSError, path: Path, temporary: Path | None) -> bool:
    """Whether an error came from writing `path`: it names no file, the temporary one, or a place around it."""
    if error.filename is None:
        return True
    named = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    around = (path, path.parent, *path.parent.parents)
    return named in {str(place) for place in around} or named.startswith(str(temporary or path))


def opened(path: Path) -> BufferedReader:
    """`path` open for reading, if it is a regular file; a pipe is not waited for, nor a device read.

    Raises:
        OSError: there is no such file, it is a folder, a device, a pipe or a socket, or it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(handle).st_mode
        if stat.S_ISDIR(found):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found):
            raise OSError(errno.EINVAL, NO_FILE, str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_whole(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes; what its size is said to be is not relied on.

    Raises:
        OSError: it is larger, or cannot be opened (see `opened`).
    """
    with opened(path) as stream:
        return read_most(stream, most, str(path))


def read_most(stream: IO[bytes], most: int, name: str) -> bytes:
    """The content of a file open at its beginning, packed or not, at most `most` bytes; raises OSError for more."""
    known = os.fstat(stream.fileno()).st_size  # spares reading most of it, where it is true
    content = b"" if known > most else stream.read(most + 1)
    if known > most or len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {_size(most)}", name)
    return content


def bounded_lines(stream: IO[AnyStr], most: int, name: str = "") -> Iterator[tuple[int, AnyStr]]:
    """The lines of `stream`, numbered from 1, with their ends; raises OSError for one longer than `most`."""
    number = 0
    while line := stream.readline(most + 1):
        number += 1
        if len(line) > most:
            raise OSError(errno.EFBIG, f"line {number:,} is longer than {_size(most)}", name)
        yield number, line


def _size(most: int) -> str:
    return f"{most >> 20:,} MB" if most >= 2**20 else f"{most:,} bytes"


def switched_on(*names: str) -> bool:
    """Whether one of these environment variables says yes."""
    return any(os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on") for name in names)


def is_inside(path: Path, root: Path) -> bool:
    """Whether `path`, links followed, stays inside `root`."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
