"""A skill's folder with a fault, whatever it is, keeps that skill out and nothing else."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_tiny, random_adapter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from adapterbot.bot import Bot
from adapterbot.cli import app
from adapterbot.errors import AdapterbotError, OtherBackboneError
from adapterbot.home import Home
from adapterbot.manager.ranker import RANKER
from adapterbot.network.backbone import Backbone
from adapterbot.reply.style_heads import HEADS
from adapterbot.roster import Roster
from adapterbot.spec import folders

SPEC = 'summary = "Answers in verse."\ngroup = "style"\n'
BOTTOMLESS = SPEC + '[knowledge]\nsource = "table"\nfile = "rows.csv"\n'
TOMLS = {
    "5,000 digits": SPEC + f"turns = {'9' * 5000}",
    "5,000 hex digits": SPEC + f"turns = 0x{'f' * 5000}",
    "digits in a table": SPEC + f"[train]\nbatch = 0x{'f' * 5000}",
    "5,000 brackets": SPEC + "a = " + "[" * 5000,
    "5,000 tables": SPEC + "a = " + "{a=" * 5000,
    "a dotted key of 5,000 parts": SPEC + ".".join("a" * 5000) + " = 1",
    "infinity": SPEC + "strength = inf",
    "no number": SPEC + "strength = nan",
    "1e400 tokens": SPEC + "[decode]\nmax_tokens = 1e400",
    "a table for a list": SPEC + "[routing.examples]\na = 1",
    "a list for a table": SPEC + "routing = [[1]]",
    "a date": SPEC + "turns = 1979-05-27T07:32:00Z",
    "day 99": SPEC + "turns = 1979-99-99",
    "NUL": SPEC + "\0",
    "NUL in a file's name": SPEC + '[knowledge]\nsource = "table"\nfile = "a\\u0000b"',
    "a file that is not there": BOTTOMLESS,
    "a lone surrogate": SPEC + 'rerank = "\\ud800"',
    "extends a number": SPEC + "extends = 7",
    "extends itself": SPEC + 'extends = "haiku"',
    "too large": "#" * 2**21 + "\n" + SPEC,
}


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Backbone) -> Home:
    """A home with one sound skill, `sound`, where only `chitchat` ships: reading all others takes a second."""
    shipped = tmp_path / "shipped"
    for name in ("chitchat", "sound"):
        (shipped / name).mkdir(parents=True)
        (shipped / name / "skill.toml").write_text(SPEC + "adapter = false" * (name == "chitchat"))
    random_adapter(tiny, shipped / "sound" / "adapter.safetensors", seed=1)
    monkeypatch.setattr(folders, "PACKAGE_SKILLS", shipped)
    return Home(tmp_path / "home")


def spoil(home: Home, content: bytes | str, file: str = "skill.toml", skill: str = "haiku") -> Path:
    """A file in the folder of a skill of the user's own; its skill.toml is sound where it is not the one."""
    path = home.skills / skill / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.joinpath("skill.toml").write_text(SPEC)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def only_haiku_is_out(backbone: Backbone, home: Home) -> str:
    """What keeps `haiku` out; the others are there, and the reason is one line."""
    roster = Roster.load(backbone, home)
    assert roster.skills == ["chitchat", "sound"]
    assert list(roster.problems) == ["haiku"]
    with pytest.raises(AdapterbotError) as caught:
        roster.spec("haiku")
    said = str(caught.value)
    assert "haiku" in said
    assert "\n" not in said
    assert len(said) < 500
    return said


@pytest.mark.parametrize("text", TOMLS.values(), ids=TOMLS)
def test_a_spec_with_a_fault_keeps_its_skill_out(few: Home, tiny: Backbone, text: str) -> None:
    random_adapter(tiny, few.skills / "haiku" / "adapter.safetensors", seed=2)
    spoil(few, text)
    only_haiku_is_out(tiny, few)


@pytest.mark.parametrize("file", ["skill.toml", "adapter.safetensors", "examples.txt"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "circle", "nowhere", "device"])
@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
def test_what_is_no_file_keeps_its_skill_out(few: Home, tiny: Backbone, file: str, kind: str) -> None:
    path = spoil(few, "", file)
    path.unlink()
    make: dict[str, Callable[[], Any]] = {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),  # whoever opened it would wait for ever
        "circle": lambda: path.symlink_to(path),
        "nowhere": lambda: path.symlink_to(path.with_name("nothing")),
        "device": lambda: path.symlink_to("/dev/zero"),
    }
    make[kind]()
    if (file, kind) == ("skill.toml", "device"):  # a link out of the folder is no skill at all
        assert Roster.load(tiny, few).skills == ["chitchat", "sound"]
    else:
        only_haiku_is_out(tiny, few)


def test_adapters_of_another_backbone_are_told_of_together_with_the_command(few: Home, tiny: Backbone) -> None:
    other = make_tiny(seed=1)
    names = ("chitchat", *"abcdefgh")
    for name in names:
        spoil(few, SPEC, skill=name)
        random_adapter(other, few.skills / name / "adapter.safetensors", seed=2)
    roster = Roster.load(tiny, few)
    assert roster.others == tuple(sorted(names))
    (note,) = roster.notes
    assert note == (
        "not used, because trained on another backbone: the adapters of a, b, c, chitchat, d and 4 more; "
        "to train one anew: adapterbot train-skill NAME --backbone tiny"
    )
    assert roster.skills == ["chitchat", "sound"], "the fallback answers by the backbone alone"
    assert "chitchat" not in roster.bank.rows
    with pytest.raises(OtherBackboneError, match="adapterbot train-skill b"):
        roster.spec("b")


def test_the_fallback_needs_no_adapter(few: Home, tiny: Backbone) -> None:
    spoil(few, SPEC, skill="chitchat")
    roster = Roster.load(tiny, few)
    assert roster.skills == ["chitchat", "sound"]
    assert not roster.notes


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
@pytest.mark.parametrize("name", [b"\xff\xfe", b"two words", b"\x1b]0;owned\x07", "ｗｉｋｉ".encode()])
def test_a_folder_that_cannot_be_named_is_told_in_plain_letters(few: Home, tiny: Backbone, name: bytes) -> None:
    folder = Path(os.fsdecode(os.fsencode(few.skills) + b"/" + name))
    folder.mkdir(parents=True)
    (folder / "skill.toml").write_text(SPEC)
    roster = Roster.load(tiny, few)
    assert roster.skills == ["chitchat", "sound"]
    (told,) = roster.problems
    assert told.isascii()
    assert told.isprintable()


def misshapen(path: Path, tensors: dict[str, torch.Tensor], backbone: Backbone) -> None:
    """Write an adapter of these tensors that says that it is for this backbone."""
    save_file(tensors, path, {"type": "residual", "backbone": backbone.fingerprint})


@pytest.mark.parametrize("name", ["spare", "down.weight", "up.bias", "norm.weight"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (1, 1, 1, 1, 1, 1)])
def test_a_tensor_of_any_shape_keeps_its_skill_out(
    few: Home, tiny: Backbone, name: str, shape: tuple[int, ...]
) -> None:
    path = spoil(few, b"", "adapter.safetensors")
    random_adapter(tiny, path, seed=2)
    misshapen(path, {**load_file(path), name: torch.ones(shape)}, tiny)
    only_haiku_is_out(tiny, few)


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float64, torch.complex64])
def test_a_tensor_of_any_type_keeps_its_skill_out(few: Home, tiny: Backbone, kind: torch.dtype) -> None:
    path = spoil(few, b"", "adapter.safetensors")
    random_adapter(tiny, path, seed=2)
    tensors = load_file(path)
    misshapen(path, tensors | {"up.bias": tensors["up.bias"].to(kind)}, tiny)
    only_haiku_is_out(tiny, few)


FUZZ = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXTS = st.sampled_from(['"', "'", "[", "]", "{", "}", "=", ",", ".", "\n", "\0", "9", "-", "e", "\\", "\ufeff", "[["])


@FUZZ
@given(junk=st.binary(max_size=80) | st.lists(TEXTS, max_size=40).map(lambda parts: "".join(parts).encode()))
def test_any_bytes_as_a_spec_reach_no_other_skill(few: Home, tiny: Backbone, junk: bytes) -> None:
    spoil(few, SPEC.encode() + junk)
    roster = Roster.load(tiny, few)
    assert {"chitchat", "sound"} <= set(roster.skills)
    assert set(roster.specs) | set(roster.problems) == {"chitchat", "haiku", "sound"}


@FUZZ
@given(data=st.data())
def test_any_header_and_any_bytes_as_an_adapter_reach_no_other_skill(few: Home, tiny: Backbone, data: Any) -> None:
    path = spoil(few, b"", "adapter.safetensors")
    random_adapter(tiny, path, seed=2)
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header, tensors = json.loads(content[8 : 8 + size]), content[8 + size :]
    name = data.draw(st.sampled_from(sorted(header)))
    if data.draw(st.booleans()):
        key = data.draw(st.sampled_from(["dtype", "shape", "data_offsets", "backbone", "type"]))
        numbers = st.lists(st.integers(-1, 2**64), max_size=4)
        header[name][key] = data.draw(numbers | st.sampled_from(["F32", "BF16", "F8_E4M3", "C64", None, 0, "\ud800"]))
    else:
        header.pop(name)
    told = json.dumps(header).encode()
    start, cut = data.draw(st.sampled_from([len(told), 0, 2**62, 3])), data.draw(st.integers(0, len(tensors)))
    path.write_bytes(struct.pack("<Q", start) + told + tensors[: cut or None])
    roster = Roster.load(tiny, few)
    assert {"chitchat", "sound"} <= set(roster.skills)
    assert "haiku" in {*roster.problems, *roster.skills}


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"[" * 5000, struct.pack("<Q", 2) + b"{}", b"\xff" * 64])
def test_damaged_rank_heads_and_rankers_leave_every_skill(few: Home, tiny: Backbone, content: bytes) -> None:
    few.manager.mkdir(parents=True)
    for name in (HEADS, RANKER):
        (few.manager / name).write_bytes(content)
    roster = Roster.load(tiny, few)
    assert roster.skills == ["chitchat", "sound"]
    assert roster.problems == {}


def test_heads_whose_tensors_are_cut_off_are_a_note(few: Home, tiny: Backbone) -> None:
    few.manager.mkdir(parents=True)
    save_file({"mean": torch.ones(3)}, few.manager / HEADS, {"backbone": tiny.fingerprint})
    assert any(HEADS in note for note in Roster.load(tiny, few).notes)


@pytest.mark.parametrize("fault", ["5,000 digits", "5,000 brackets"])
def test_the_others_answer_and_the_check_names_the_bad_one(few: Home, tiny: Backbone, fault: str) -> None:
    spoil(few, TOMLS[fault])
    bot = Bot(tiny, few, log=False)
    assert bot.respond("hello", skill="sound", seed=1).text
    assert bot.respond("hello", seed=1).skill == "chitchat"
    with pytest.raises(AdapterbotError, match="haiku"):
        bot.respond("hello", skill="haiku")


def test_the_check_on_the_command_line_names_it(ready: Home) -> None:
    spoil(ready, TOMLS["5,000 brackets"], skill="haiku")
    done = CliRunner().invoke(app, ["skills", "--check", "--json"])
    rows = {row["name"]: row["problem"] for row in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert "not valid TOML" in rows.pop("haiku")
    assert not any(rows.values())
    listed = CliRunner().invoke(app, ["knowledge", "rm", "restaurant"])
    assert listed.exit_code == 0, "a command that only looks at the skills goes on"
    assert sys.getrecursionlimit() == 1000
