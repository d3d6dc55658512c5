"""docs/operations.md: what it says to run was run, and what it names is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from clusters import Cluster, look
from test_deploy import OPERATIONS, known_to

from adapterbot.home import Home
from adapterbot.storage.conversations import Store
from adapterbot.storage.keys import KeyStore
from adapterbot.turn import Reply


def script(name: str) -> str:
    """A block of commands of the page."""
    (found,) = re.findall(rf"^```sh {name}\n(.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    return str(found)


def run(name: str, folder: Path, **environment: str) -> None:
    """Run a block of the page in a folder, as it stands there."""
    done = subprocess.run(
        ["bash", "-euc", script(name)], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_home_comes_back_and_the_store_with_it(home: Home, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    (home.skills / "boats").mkdir(parents=True)
    (home.skills / "boats" / "skill.toml").write_text("summary = 'Boats.'\n", encoding="utf-8")
    home.backbones.mkdir()
    (home.backbones / "large.safetensors").write_bytes(b"made again")
    kept, keys = Store(home.database), KeyStore(home.database)
    kept.append("anna", "hi", Reply("Hello there.", "wiki"))
    key = keys.new("anna")
    with_writer = Store(home.database)  # a server that goes on meanwhile
    run("backup-home", tmp_path)
    run("backup-sqlite", tmp_path)
    with_writer.append("anna", "said later", Reply("And so on.", "wiki"))
    restored = tmp_path / "restored"
    run("restore-home", tmp_path, ADAPTERBOT_HOME=str(restored))
    run("restore-sqlite", tmp_path, ADAPTERBOT_HOME=str(restored))
    other = Home(restored)
    assert Store(other.database).history("anna").texts == ("hi", "Hello there.")
    assert [each.id for each in KeyStore(other.database).all()] == [each.id for each in keys.all()]
    assert key
    assert (other.skills / "boats" / "skill.toml").read_bytes() == (home.skills / "boats" / "skill.toml").read_bytes()
    assert not other.backbones.exists()
    Store(other.database).append("anna", "again", Reply("Welcome back.", "wiki"))
    run("restore-sqlite", tmp_path)  # over the one that went on
    assert Store(home.database).history("anna").texts == ("hi", "Hello there.")


def test_a_store_in_postgresql_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    cluster.sql("CREATE DATABASE adapterbot")
    place = cluster.url("adapterbot")
    known = {"PGHOST": "127.0.0.1", "PGPORT": str(cluster.port), "PGUSER": "bot", "PGPASSWORD": cluster.password}
    known["PATH"] = f"{cluster.bin}{os.pathsep}{os.environ['PATH']}"
    try:
        kept = Store(place)
        kept.append("anna", "hi", Reply("Hello there.", "wiki"))
        run("backup-postgresql", tmp_path, **known)
        kept.append("anna", "said later", Reply("And so on.", "wiki"))
        run("restore-postgresql", tmp_path, **known)
        assert Store(place).history("anna").texts == ("hi", "Hello there."), "over the one that is there"
        kept._database._engine.dispose()
        cluster.sql("DROP DATABASE adapterbot WITH (FORCE)")
        cluster.sql("CREATE DATABASE adapterbot")
        run("restore-postgresql", tmp_path, **known)
        Store(place).append("anna", "again", Reply("Welcome back.", "wiki"))
        assert Store(place).history("anna").texts[::2] == ("hi", "again")
        assert look(place, "SELECT count(*) FROM turn") == [(2,)]
    finally:
        cluster.sql("DROP DATABASE IF EXISTS adapterbot WITH (FORCE)")


def test_the_commands_that_the_page_names_are_there() -> None:
    for line in re.findall(r"`adapterbot ([^`]+)`", OPERATIONS):
        name, *arguments = shlex.split(line)
        known_to(name, arguments)
    for option in re.findall(r"`(--[a-z-]+)`", OPERATIONS):
        known_to("serve", [option])
