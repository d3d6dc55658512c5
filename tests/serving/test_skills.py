"""Skills that come and go while the bot answers."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import essence, make_bot, random_adapter
from fastapi.testclient import TestClient

from adapterbot.bot import Bot
from adapterbot.errors import AdapterbotError, InputError, SpecError, UnknownNameError
from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.serving import http
from adapterbot.storage.keys import KeyStore

SHORT: dict[str, Any] = {"max_tokens": 6, "drafts": 1, "seed": 1}
SPEC = 'summary = "Talks of boats."\ngroup = "conversation"\n\n[routing]\nexamples = ["Tell me about boats."]\n'


def boats(home: Home, backbone: Backbone, seed: int = 7) -> Path:
    """A skill of the user's own."""
    folder = home.skills / "boats"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "skill.toml").write_text(SPEC, encoding="utf-8")
    random_adapter(backbone, folder / "adapter.safetensors", seed)
    return folder


def test_a_skill_that_came_later_answers_and_no_other_changes(tiny: Backbone, home: Home) -> None:
    bot = make_bot(tiny, home)
    before = bot.respond("Hello", skill="wiki", facts=["x"], **SHORT)
    with pytest.raises(UnknownNameError):
        bot.respond("Hello", skill="boats", **SHORT)
    folder = boats(home, tiny)
    assert bot.load_skill("boats").summary == "Talks of boats."
    first = bot.respond("Hello", skill="boats", **SHORT)
    assert essence(bot.respond("Hello", skill="wiki", facts=["x"], **SHORT)) == essence(before)
    assert "boats" in bot.pick("Tell me about boats.").scores
    random_adapter(tiny, folder / "adapter.safetensors", seed=8)
    bot.load_skill("boats")
    assert bot.respond("Hello", skill="boats", **SHORT).text != first.text


def test_a_skill_is_let_go_and_comes_back(tiny: Backbone, home: Home) -> None:
    bot = make_bot(tiny, home)
    before = bot.respond("Hello", skill="persona", **SHORT)
    stream = bot.stream("Hello", skill="persona", **SHORT)
    begun = next(stream)
    bot.unload_skill("persona")
    assert "persona" not in bot.skills
    assert "persona" not in bot.pick("What do you like to eat?").scores
    with pytest.raises(SpecError, match="load it again"):
        bot.respond("Hello", skill="persona", **SHORT)
    assert begun + "".join(stream) == before.text, "what was begun is made to its end"
    bot.load_skill("persona")
    assert bot.respond("Hello", skill="persona", **SHORT).text == before.text
    with pytest.raises(InputError, match="cannot be unloaded"):
        bot.unload_skill("chitchat")
    with pytest.raises(UnknownNameError):
        bot.unload_skill("boats")


def test_what_cannot_be_loaded_leaves_all_as_it_was(tiny: Backbone, home: Home) -> None:
    bot = make_bot(tiny, home)
    before = bot.respond("Hello", skill="persona", **SHORT).text
    adapter = home.skills / "persona" / "adapter.safetensors"
    content = adapter.read_bytes()
    adapter.unlink()  # what is loaded is read from the old file
    adapter.write_bytes(content[:-9])
    with pytest.raises(AdapterbotError):
        bot.load_skill("persona")
    assert bot.respond("Hello", skill="persona", **SHORT).text == before
    for name in ("../../etc", "/etc/passwd", "A", "", "no_such_skill"):
        with pytest.raises(AdapterbotError):
            bot.load_skill(name)


def test_turns_go_on_while_skills_change(tiny: Backbone, home: Home) -> None:
    bot = make_bot(tiny, home)
    expected = bot.respond("Hello", skill="persona", **SHORT).text
    boats(home, tiny)
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            bot.load_skill("boats")
            bot.unload_skill("boats")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        texts = {bot.respond("Hello", skill="persona", **SHORT).text for _ in range(8)}
    finally:
        stop.set()
        changing.join(timeout=60)
    assert texts == {expected}


@pytest.fixture
def served(tiny_bot: Bot, home: Home, tmp_path: Path) -> Iterator[tuple[TestClient, dict[str, dict[str, str]]]]:
    """A server in this process, and the headers of an admin and of somebody else."""
    store = KeyStore(tmp_path / "keys.sqlite3")
    keys = {"admin": store.new("admin", admin=True), "other": store.new("other")}
    headers = {name: {"authorization": f"Bearer {key}"} for name, key in keys.items()}
    with TestClient(http.api(tiny_bot, store), base_url="http://127.0.0.1") as client:
        yield client, headers


def test_admin_keys_alone_load_and_unload(
    served: tuple[TestClient, dict[str, dict[str, str]]], home: Home, tiny: Backbone
) -> None:
    client, headers = served
    boats(home, tiny)
    for end in ("load", "unload"):
        refused = client.post(f"/v1/skills/boats/{end}", headers=headers["other"])
        assert refused.status_code == 403
        assert "adapterbot keys new --admin" in refused.json()["error"]["message"]
    loaded = client.post("/v1/skills/boats/load", headers=headers["admin"])
    assert loaded.json() == {"name": "boats", "summary": "Talks of boats.", "answers": True}
    models = [model["id"] for model in client.get("/v1/models", headers=headers["other"]).json()["data"]]
    assert "adapterbot/boats" in models
    assert client.post("/v1/skills/boats/unload", headers=headers["admin"]).json()["answers"] is False
    models = [model["id"] for model in client.get("/v1/models", headers=headers["other"]).json()["data"]]
    assert "adapterbot/boats" not in models
    body = {"model": "adapterbot/boats", "messages": [{"role": "user", "content": "Hello"}]}
    answer = client.post("/v1/chat/completions", json=body, headers=headers["other"])
    assert (answer.status_code, "unloaded" in answer.json()["error"]["message"]) == (503, True)
    shutil.rmtree(home.skills / "boats")
    assert client.post("/v1/skills/boats/load", headers=headers["admin"]).status_code == 404


@pytest.mark.parametrize("name", ["..%2F..%2Fetc", "%2Fetc%2Fpasswd", "A", "x" * 99, "no_such_skill", "%00"])
def test_nothing_outside_of_the_skills_folder_is_read(
    served: tuple[TestClient, dict[str, dict[str, str]]], name: str
) -> None:
    client, headers = served
    answer = client.post(f"/v1/skills/{name}/load", headers=headers["admin"])
    assert answer.status_code in (400, 404, 503)
    assert "passwd" not in answer.text.replace("%2Fetc%2Fpasswd", "").replace("/etc/passwd", "")


def test_a_link_out_of_the_skills_folder_is_not_followed(
    served: tuple[TestClient, dict[str, dict[str, str]]], home: Home, tiny: Backbone, tmp_path: Path
) -> None:
    client, headers = served
    boats(home, tiny).rename(tmp_path / "elsewhere")
    (home.skills / "boats").symlink_to(tmp_path / "elsewhere")
    answer = client.post("/v1/skills/boats/load", headers=headers["admin"])
    assert (answer.status_code, "symbolic link" in answer.json()["error"]["message"]) == (503, True)


def test_without_keys_nobody_is_an_admin(tiny_bot: Bot, tmp_path: Path) -> None:
    client = TestClient(http.api(tiny_bot, KeyStore(tmp_path / "keys.sqlite3")), base_url="http://127.0.0.1")
    assert client.post("/v1/skills/persona/unload").status_code == 403
