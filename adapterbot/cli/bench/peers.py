"""Other libraries, each in a process of its own: jobs go in and seconds come out, a line of JSON each.

`adapters` pins an old transformers, so that it has an environment of its own; llama.cpp comes with Node.js.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from adapterbot.errors import AdapterbotError
from adapterbot.home import private_folder
from adapterbot.network.architectures.shape import Shape

HERE = Path(__file__).parent
GET = "adapterbot bench --get-peers brings it"
NODE = "node-llama-cpp@3.22.1"
ADAPTERS = "adapters==1.3.*"
PREBUILT = {  # beside node-llama-cpp: what it computes with, without what is for GPUs
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "arm64"): "mac-arm64-metal",
    ("Darwin", "x86_64"): "mac-x64",
    ("Windows", "AMD64"): "win-x64",
}


class PeerError(AdapterbotError):
    """A library that is compared with is not here, or cannot do what is asked of it."""


class Peer:
    """A library in a process of its own, which waits for jobs."""

    def __init__(self, name: str, command: Sequence[str | Path]) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is ours to answer
        )
        try:
            self._answer()  # it is ready
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def seconds(self, do: str, **job: Any) -> float:
        """How long a job took, by the library's own process.

        Raises:
            PeerError: it failed, or the process has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **job}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise PeerError(f"{self.name} has ended: {error}") from None
        return float(self._answer()["seconds"])

    def _answer(self) -> dict[str, Any]:
        """The next line that is an answer; libraries print other things too."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                if "error" in found:
                    raise PeerError(f"{self.name}: {found['error']}")
                return found
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        raise PeerError(f"{self.name} has ended{f': {said[-1]}' if said else ''}")


class Peers:
    """The libraries that a part of the bench compares with, each started at its first job."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._threads = threads
        self._made: dict[str, Peer | PeerError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for peer in self._made.values():
            if isinstance(peer, Peer):
                peer.close()

    def torch(self, library: str, model: Shape | Path) -> Peer:
        """`transformers`, `peft` or `adapters`, with random weights of GPT-2's kind or with those of a folder.

        Raises:
            PeerError: it is not installed.
        """
        python = Path(sys.executable) if library != "adapters" else adapters_python(self._folder)
        given = {"folder": str(model)} if isinstance(model, Path) else {"shape": asdict(model)}
        about = json.dumps({"library": library, "threads": self._threads, **given})
        return self._started(library, [python, "-P", "-W", "ignore", HERE / "torch_peer.py", about])

    def llama_cpp(self, gguf: Path, rows: int, size: int) -> Peer:
        """llama.cpp with a GGUF file, for so many rows of `size` tokens in all.

        Raises:
            PeerError: Node.js or its package is not here.
        """
        node, package = shutil.which("node"), node_package(self._folder)
        if node is None:
            raise PeerError("Node.js is not installed (nodejs.org, or your system's packages)")
        if not package.is_dir():
            raise PeerError(f"node-llama-cpp is not installed: {GET}")
        command = [node, HERE / "llama_cpp.mjs", package, gguf, self._threads, rows, size]
        return self._started("llama.cpp", [str(word) for word in command])

    def _started(self, name: str, command: Sequence[str | Path]) -> Peer:
        if name not in self._made:
            try:
                self._made[name] = Peer(name, command)
            except PeerError as error:  # nor would it the next time
                self._made[name] = error
        found = self._made[name]
        if isinstance(found, PeerError):
            raise found
        return found


def node_package(folder: Path) -> Path:
    """Where node-llama-cpp lies once it is there."""
    return folder / "llama.cpp" / "node_modules" / "node-llama-cpp"


def adapters_python(folder: Path) -> Path:
    """The Python that has `adapters`.

    Raises:
        PeerError: there is none.
    """
    python = _python_of(folder / "adapters")
    if not python.is_file():
        raise PeerError(f"adapters 1.3 is not installed in an environment of its own: {GET}")
    return python


def get_peers(folder: Path, announce: Callable[[str], None]) -> None:
    """Install node-llama-cpp and `adapters` below a folder, from the indexes that npm and pip are set up for.

    Raises:
        PeerError: one could not be installed; the other is tried all the same.
    """
    faults = []
    for name, get in (("node-llama-cpp", _get_node_package), ("adapters", _get_adapters)):
        announce(f"installing {name} below {folder}")
        try:
            get(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", "") or "").strip().splitlines()
            faults.append(f"{name} could not be installed: {said[-1] if said else error}")
    if faults:
        raise PeerError("; ".join(faults))


def _get_node_package(folder: Path) -> None:
    """By npm, without what is for GPUs where the prebuilt part for this machine is known by its name."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed (it comes with Node.js)")
    place = folder / "llama.cpp"
    private_folder(place)
    prebuilt = PREBUILT.get((platform.system(), platform.machine()))
    version = NODE.rpartition("@")[2]
    wanted = [NODE, f"@node-llama-cpp/{prebuilt}@{version}", "--omit=optional"] if prebuilt else [NODE]
    command = [npm, "install", "--prefix", str(place), "--ignore-scripts", "--no-audit", "--no-fund", *wanted]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _get_adapters(folder: Path) -> None:
    """An environment that shares the torch of this one: the same kernels on both sides, and no second download."""
    place = folder / "adapters"
    venv.create(place, with_pip=True, clear=True)
    python = _python_of(place)
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip()
    shared = Path(torch.__file__).parent.parent
    Path(site, "shared.pth").write_text(f"{shared}\n", encoding="utf-8")
    install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", ADAPTERS]
    subprocess.run(install, check=True, capture_output=True, text=True)


def _python_of(place: Path) -> Path:
    return place / "Scripts" / "python.exe" if sys.platform == "win32" else place / "bin" / "python"
