"""A PostgreSQL server of the tests' own, and the places that a store can be in; all of it is gone after the run."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from adapterbot.home import Home

BINARIES = "lib/postgresql/*/bin"  # of Debian, below /usr, newest last
FAST = "-c fsync=off -c full_page_writes=off -c max_connections=200"


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl, None where no server is installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return next(
        (path for path in sorted(Path("/usr").glob(BINARIES), reverse=True) if (path / "initdb").exists()), None
    )


@dataclass
class Cluster:
    """A server on 127.0.0.1 that asks for a password, run by somebody without rights: PostgreSQL refuses root."""

    bin: Path
    folder: Path
    port: int = 0
    password: str = field(default_factory=lambda: f"Pw{secrets.token_hex(8)}")
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def make(self) -> None:
        """Make the data folder and start."""
        if os.geteuid() == 0:
            import pwd  # there is none on Windows

            someone = pwd.getpwnam("postgres")
            os.chown(self.folder, someone.pw_uid, someone.pw_gid)
        file = self.folder / "password"
        file.write_text(self.password)
        file.chmod(0o644)
        how = ["--username=bot", "--auth=scram-sha-256", f"--pwfile={file}", "--encoding=UTF8", "--no-locale"]
        self._run("initdb", f"--pgdata={self.data}", "--no-sync", *how)
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def data(self) -> Path:
        """The server's own folder."""
        return self.folder / "data"

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"{FAST} -c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "start", "-w", "-t", "60", f"-D{self.data}", f"-l{self.folder / 'log'}", f"-o{options}")

    def stop(self) -> None:
        """Stop at once, whoever is connected."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", f"-D{self.data}")

    @contextmanager
    def frozen(self, most: float = 60) -> Iterator[None]:
        """The server neither answers nor goes away meanwhile; after `most` seconds it goes on all the same."""
        import psutil

        first = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        first.suspend()  # before those that it would begin anew
        processes = [first, *first.children(recursive=True)]
        for process in processes[1:]:
            process.suspend()

        def go_on() -> None:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

        late = threading.Timer(most, go_on)  # a test that hangs is to fail instead
        late.start()
        try:
            yield
        finally:
            late.cancel()
            go_on()

    def url(self, name: str, user: str = "bot", password: str | None = None) -> str:
        """A store's place in the database of that name."""
        return f"postgresql+psycopg://{user}:{password or self.password}@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement past the store."""
        import psycopg

        with psycopg.connect(self.url(name).replace("+psycopg", ""), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        as_whom = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*as_whom, str(self.bin / program), *arguments]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/")
        assert done.returncode == 0, f"{program}: {done.stderr}"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The server, or a skip where none is installed or may be run."""
    pytest.importorskip("psycopg")
    found = binaries() if sys.platform != "win32" else None
    if found is None:
        pytest.skip("no PostgreSQL server is installed")
    if os.geteuid() == 0 and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root")
    with tempfile.TemporaryDirectory(prefix="adapterbot-postgres-") as folder:
        made = Cluster(found, Path(folder))
        made.make()
        try:
            yield made
        finally:
            with suppress(AssertionError):  # a test stopped it
                made.stop()


@pytest.fixture
def postgres(cluster: Cluster) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    name = f"test{next(cluster.numbers)}"
    cluster.sql(f"CREATE DATABASE {name}")
    yield cluster.url(name)
    cluster.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, home: Home) -> str:
    """Where a store can be: the home's file, and a database on a real server. Nothing is there yet."""
    return str(home.database) if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


@contextmanager
def past_the_store(place: str) -> Iterator[Connection]:
    """A connection of another program's own, whose transactions begin and end with plain SQL."""
    engine = sa.create_engine(place if "://" in place else f"sqlite:///{place}", poolclass=sa.pool.NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def look(place: str, query: str) -> list[tuple[object, ...]]:
    """What the database itself says."""
    with past_the_store(place) as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


@contextmanager
def nobody() -> Iterator[None]:
    """As a user without rights, where the tests run as root: root may write whatever the modes say."""
    root = os.name == "posix" and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder that anybody may read; a test that takes its own write permission away leaves a read-only disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            folder.chmod(0o755)
