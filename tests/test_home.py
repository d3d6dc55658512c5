"""The home: closed to others, swept, and files that are read and written whole or refused in one line."""

from __future__ import annotations

import io
import os
import socket
import stat
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from adapterbot.errors import AdapterbotError, WriteError
from adapterbot.home import STALE, Home, bounded_lines, opened, read_whole, written_by_rename

posix = pytest.mark.skipif(os.name != "posix", reason="modes of files, pipes")
PROC = Path("/proc/self/environ")  # a regular file whose size is said to be 0


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_written_in_the_home_is_its_owners_alone(home: Home, umask: int) -> None:
    before = os.umask(umask)
    try:
        with written_by_rename(home.skills / "haiku" / "README.md") as temporary:
            temporary.write_text("hi")
            assert mode(temporary) == 0o600
    finally:
        os.umask(before)
    assert {mode(home.root), mode(home.skills), mode(home.skills / "haiku")} == {0o700}
    assert mode(home.skills / "haiku" / "README.md") == 0o600


@posix
def test_what_stood_open_before_is_closed(home: Home) -> None:
    paths = [home.database, home.knowledge / "calendar.ics", home.manager / "a", home.skills / "x" / "skill.toml"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        path.chmod(0o666)
        path.parent.chmod(0o777)
    home.tidy()
    assert {mode(path) for path in paths} == {0o600}
    assert {mode(path.parent) for path in paths} == {0o700}


@posix
def test_what_a_link_leads_to_keeps_its_mode(home: Home, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o644)
    home.knowledge.mkdir(parents=True)
    (home.knowledge / "link").symlink_to(outside)
    home.tidy()
    assert mode(outside) == 0o644


@posix
def test_a_folder_that_holds_other_things_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person, shared = tmp_path / "person", tmp_path / "shared"
    for folder in (person, shared):
        folder.mkdir()
        (folder / "other.txt").write_text("x")
        (folder / "other.txt").chmod(0o644)
    monkeypatch.setenv("HOME", str(person))
    person.chmod(0o755)
    shared.chmod(0o1777)
    for folder, before in ((person, 0o755), (shared, 0o1777)):
        Home(folder).tidy()
        assert mode(folder) == before
        assert mode(folder / "other.txt") == 0o644


@posix
def test_a_file_outside_the_home_can_be_read_by_others(tmp_path: Path) -> None:
    with written_by_rename(tmp_path / "report.json") as temporary:
        temporary.write_text("{}")
    assert mode(tmp_path / "report.json") == 0o644


def test_what_killed_programs_left_is_swept_and_nothing_else(home: Home, tmp_path: Path) -> None:
    home.knowledge.mkdir(parents=True)
    halves = [".graph.tsv.a1b2c3d4.part", ".graph.tsv.a1b2c3d4.part-journal", ".passages.sqlite3.abcdefgh"]
    kept = ["graph.tsv", ".gitignore", ".notes.old", "part", ".graph.tsv.fresh123.part"]
    for name in halves + kept:
        path = home.knowledge / name
        path.write_text("x")
        if "fresh" not in name:
            os.utime(path, (time.time() - STALE - 60,) * 2)
    home.tidy()
    assert sorted(path.name for path in home.knowledge.iterdir()) == sorted(kept)
    other, own = tmp_path / ".other.json.a1b2c3d4.part", tmp_path / ".mine.json.a1b2c3d4.part"
    for path in (other, own):
        path.write_text("x")
        os.utime(path, (0, 0))
    with written_by_rename(tmp_path / "mine.json") as temporary:
        temporary.write_text("{}")
    assert other.exists(), "of a file that somebody else writes"
    assert not own.exists()


@pytest.mark.parametrize("raised", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")])
def test_a_full_or_read_only_disk_is_one_line_that_names_the_file(tmp_path: Path, raised: OSError) -> None:
    target = tmp_path / "a" / "b.json"
    with pytest.raises(WriteError) as caught, written_by_rename(target):
        raise raised
    assert str(caught.value) == f"{target} cannot be written: {raised.strerror}"
    assert isinstance(caught.value, AdapterbotError)
    assert list(target.parent.iterdir()) == []


def write_much(path: Path, kind: str) -> None:
    with written_by_rename(path) as temporary:
        if kind == "tensors":
            save_file({"a": torch.ones(10_000)}, temporary)
        else:
            temporary.write_text("x" * 10_000)


@posix
@pytest.mark.parametrize("kind", ["tensors", "text"])
def test_a_disk_that_takes_no_more_is_one_line(tmp_path: Path, kind: str) -> None:
    import resource  # not on Windows

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))  # no file may grow further
    try:
        with pytest.raises(WriteError, match=r"made\.bin cannot be written: .*File too large"):
            write_much(tmp_path / "made.bin", kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteError, match=r"c\.json cannot be written"), written_by_rename(tmp_path / "file" / "c.json"):
        pass


def test_what_goes_wrong_with_another_file_is_told_of_that_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"), written_by_rename(tmp_path / "a.json"):
        (tmp_path / "nowhere").read_bytes()


@posix
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket", "link to a device"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    path, started = tmp_path / "x", time.perf_counter()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))  # the name stays
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    else:
        path = Path("/dev/zero")
    with pytest.raises(OSError, match=r"regular file|directory|device"):
        opened(path)
    assert time.perf_counter() - started < 1


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 100)
    assert read_whole(path, 100) == b"x" * 100
    with pytest.raises(OSError, match="larger than 99 bytes"):
        read_whole(path, 99)


@pytest.mark.skipif(not PROC.exists(), reason="no /proc")
def test_a_size_of_nothing_is_not_believed() -> None:
    assert PROC.stat().st_size == 0
    with pytest.raises(OSError, match="larger than 3 bytes"):
        read_whole(PROC, 3)


def test_lines_are_numbered_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one\ntwo\nthree")
    assert list(bounded_lines(io.BytesIO(path.read_bytes()), 6)) == [(1, b"one\n"), (2, b"two\n"), (3, b"three")]
    with pytest.raises(OSError, match="line 3 is longer than 4 bytes"):
        list(bounded_lines(io.BytesIO(path.read_bytes()), 4))
    with path.open("wb") as stream:
        stream.truncate(2**32)  # 4 GB of one line, none of it on the disk
    started = time.perf_counter()
    with opened(path) as lines, pytest.raises(OSError, match="line 1 is longer than 16 MB"):
        list(bounded_lines(lines, 2**24))
    assert time.perf_counter() - started < 1
