"""A thousand skills on disk and few in memory; versions that are rolled while the bot answers."""

from __future__ import annotations

import gc
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import babbling, essence, random_adapter

from adapterbot.bot import Bot
from adapterbot.errors import AdapterError, SettingError, UnknownNameError
from adapterbot.home import Home
from adapterbot.network.adapters.shelf import MOST
from adapterbot.network.backbone import Backbone
from adapterbot.spec import folders

SHORT: dict[str, Any] = {"max_tokens": 6, "drafts": 1, "seed": 1}
SPEC = 'summary = "Talks of boats."\ngroup = "style"\n[adapter]\non = "all"\n'
START = 20.0  # seconds that a thousand skills may take on a slow machine; each of them read whole takes far longer
VERSIONS = 4  # files that the folders of many skills share as links: what lies in each is its own name


def make_skills(home: Home, backbone: Backbone, count: int) -> list[str]:
    """So many skills of the user's own, `s0000` and on, each with an adapter."""
    made = [home.root / f"version{i}" / "adapter.safetensors" for i in range(VERSIONS)]
    for seed, path in enumerate(made):
        random_adapter(backbone, path, seed)
    names = [f"s{i:04}" for i in range(count)]
    for i, name in enumerate(names):
        folder = home.skills / name
        folder.mkdir(parents=True)
        (folder / "skill.toml").write_text(SPEC, encoding="utf-8")
        shutil.copyfile(made[i % VERSIONS], folder / "adapter.safetensors")
    return names


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `chitchat` ships, without an adapter."""
    shipped = tmp_path / "shipped" / "chitchat"
    shipped.mkdir(parents=True)
    (shipped / "skill.toml").write_text('summary = "Talks."\ngroup = "conversation"\nadapter = false\n')
    monkeypatch.setattr(folders, "PACKAGE_SKILLS", shipped.parent)


def make(backbone: Backbone, home: Home, **options: Any) -> Bot:
    """A bot that stores nothing."""
    return Bot(backbone, home, log=False, guard=babbling(), **options)


@pytest.mark.usefixtures("alone")
def test_a_thousand_skills_start_fast_and_few_are_in_memory(tiny: Backbone, home: Home) -> None:
    names = make_skills(home, tiny, 1000)
    started = time.perf_counter()
    bot = make(tiny, home)
    seconds = time.perf_counter() - started
    assert seconds < START
    assert bot.skills == ["chitchat", *names]
    assert (bot.bank.shelf.loaded, bot.bank.nbytes) == (0, 0)
    asked = names[:: len(names) // 200]
    replies = [bot.respond("Hello", skill=name, **SHORT).text for name in asked[:8]]
    for name in asked:
        bot.bank.file(name)
    gc.collect()
    assert len(asked) > MOST
    assert bot.bank.shelf.loaded == MOST
    one = bot.bank.file(names[0])
    assert bot.bank.nbytes <= (MOST + 1) * sum(t.nbytes for t in one.stored.values())
    assert [bot.respond("Hello", skill=name, **SHORT).text for name in asked[:8]] == replies, "read again"
    assert bot.bank.shelf.loads > len(asked)


@pytest.mark.usefixtures("alone")
def test_where_all_have_room_all_are_checked_at_the_start(tiny: Backbone, home: Home) -> None:
    make_skills(home, tiny, 4)
    random_adapter(tiny, home.skills / "s0002" / "adapter.safetensors", 1, scale=float("nan"))
    bot = make(tiny, home, adapters=4)
    assert bot.skills == ["chitchat", "s0000", "s0001", "s0003"]
    assert bot.bank.shelf.loaded == 3
    assert "s0002" not in bot.bank.rows


@pytest.mark.usefixtures("alone")
def test_an_adapter_that_is_found_damaged_when_it_is_asked_for(tiny: Backbone, home: Home) -> None:
    make_skills(home, tiny, 4)
    good = (home.skills / "s0001" / "adapter.safetensors").read_bytes()
    random_adapter(tiny, home.skills / "s0001" / "adapter.safetensors", 1, scale=float("nan"))
    bot = make(tiny, home, adapters=2, pinned=["s0000"])
    assert "s0001" in bot.skills, "as far as is known"
    assert bot.bank.shelf.loaded == 1
    with pytest.raises(AdapterError, match="NaN"):
        bot.respond("Hello", skill="s0001", **SHORT)
    assert "s0001" not in bot.skills
    assert "NaN" in str(bot.roster.problems["s0001"])
    assert bot.respond("Hello", skill="s0002", **SHORT).skill == "s0002"
    path = home.skills / "s0001" / "adapter.safetensors"
    path.unlink()
    path.write_bytes(good)
    bot.load_skill("s0001")
    assert bot.respond("Hello", skill="s0001", **SHORT).skill == "s0001"


def test_the_fallback_answers_where_a_chosen_skill_cannot_be_read(tiny: Backbone, home: Home) -> None:
    for seed, name in enumerate(("wiki", "persona", "empathetic", "chitchat")):
        random_adapter(tiny, home.skills / name / "adapter.safetensors", seed)
    bot = make(tiny, home, adapters=2)
    message = "What do you like to eat?"
    chosen = bot.pick(message).skill
    assert chosen not in ("chitchat",)
    path = home.skills / chosen / "adapter.safetensors"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-9])
    reply = bot.respond(message, facts=[], **SHORT)
    assert (reply.skill, reply.routed_by) == ("chitchat", "fallback")
    assert any(str(path) in warning for warning in reply.warnings)
    assert chosen not in bot.skills
    assert not any(str(path) in warning for warning in bot.respond(message, facts=[], **SHORT).warnings)


@pytest.mark.usefixtures("alone")
def test_pins_and_bounds_that_make_no_sense_are_told(tiny: Backbone, home: Home) -> None:
    make_skills(home, tiny, 2)
    with pytest.raises(UnknownNameError, match="did you mean 's0001'"):
        make(tiny, home, pinned=["s001"])
    with pytest.raises(SettingError, match="2 adapters in memory are too few"):
        make(tiny, home, adapters=2, pinned=["s0000", "s0001"])


@pytest.mark.usefixtures("alone")
def test_a_new_version_answers_new_turns_and_no_turn_is_lost(tiny: Backbone, home: Home) -> None:
    """Streams that run while a skill is rolled end as they began; those that come later are the new version's."""
    make_skills(home, tiny, 6)
    bot = make(tiny, home, adapters=3)
    path = home.skills / "s0000" / "adapter.safetensors"
    asked: dict[str, Any] = {"message": "Hello " * 12, "skill": "s0000", "max_tokens": 12, "drafts": 1, "seed": 1}
    first = bot.respond(**asked)
    random_adapter(tiny, home.root / "next" / "adapter.safetensors", 77)
    shutil.copyfile(home.root / "next" / "adapter.safetensors", home.root / "next.tmp")
    stream = bot.stream(**asked, beats=True)
    begun = next(stream)
    (home.root / "next.tmp").replace(path)
    bot.load_skill("s0000")
    for name in ("s0001", "s0002", "s0003", "s0004"):
        bot.respond("Hello", skill=name, **SHORT)
    second = bot.respond(**asked)
    assert begun + "".join(stream) == first.text
    assert second.text != first.text
    fresh = make(tiny, home, adapters=3).respond(**asked)
    assert essence(second) == essence(fresh), "nothing that the former version has read is used"
    assert second.cached_tokens == 0
    assert bot.respond(**asked).cached_tokens > 0


@pytest.mark.usefixtures("alone")
def test_versions_change_under_load_and_every_turn_is_answered_by_one_of_them(tiny: Backbone, home: Home) -> None:
    make_skills(home, tiny, 5)
    bot = make(tiny, home, adapters=2)
    path = home.skills / "s0000" / "adapter.safetensors"
    versions = [home.root / f"version{i}" / "adapter.safetensors" for i in range(2)]
    asked = {"message": "Hello", "skill": "s0000", **SHORT}
    expected = set()
    for version in versions:
        shutil.copyfile(version, home.root / "next.tmp")
        (home.root / "next.tmp").replace(path)
        expected.add(make(tiny, home).respond(**asked).text)
    assert len(expected) == 2
    stop = threading.Event()
    faults = list[Exception]()

    def roll() -> None:
        try:
            for turn in range(10_000):
                if stop.is_set():
                    return
                shutil.copyfile(versions[turn % 2], home.root / "next.tmp")
                (home.root / "next.tmp").replace(path)
                bot.load_skill("s0000")
        except Exception as error:
            faults.append(error)

    rolling = threading.Thread(target=roll)
    rolling.start()
    try:
        texts = [
            bot.respond(**(asked if i % 2 else {**asked, "skill": f"s000{1 + i // 2 % 4}"})).text for i in range(24)
        ]
    finally:
        stop.set()
        rolling.join(timeout=60)
    assert not faults
    assert set(texts[1::2]) <= expected
