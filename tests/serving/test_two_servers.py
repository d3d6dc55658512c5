"""Two servers on one PostgreSQL: sessions keep their order, and are one another's; and `--store` as it is typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from clusters import Cluster
from typer.testing import CliRunner

from adapterbot.cli.app import app
from adapterbot.errors import AdapterbotError
from adapterbot.home import Home
from adapterbot.storage.conversations import Store
from adapterbot.storage.keys import KeyStore
from adapterbot.turn import Reply

SHORT: dict[str, Any] = {"skill": "chitchat", "max_tokens": 4, "drafts": 1, "seed": 1}
SECRET = "Wr0ngS3cr3t"
EACH = 8  # messages that a client says


def adapterbot(*arguments: str, typed: str = "") -> str:
    """What a command prints, or the line that says why it cannot."""
    done = CliRunner().invoke(app, arguments, input=typed)
    assert done.exception is None or isinstance(done.exception, (AdapterbotError, SystemExit)), done.exception
    return done.output + str(done.exception or "")


@contextmanager
def serving(place: str) -> Iterator[subprocess.Popen[str]]:
    """A server of its own process, which says where it is once it is there."""
    command = [sys.executable, "-m", "adapterbot.cli", "serve", "--port", "0", "--no-app", "--store", place]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as run:
        try:
            yield run
        finally:
            run.terminate()
            run.wait(timeout=60)


def address_of(run: subprocess.Popen[str]) -> str:
    """Where it is."""
    assert run.stdout
    found = re.search(r"(http://\S+)/v1", run.stdout.readline())
    assert found
    return found[1]


def test_two_servers_keep_the_order_of_a_session(on_tiny: None, postgres: str) -> None:
    header = {"authorization": f"Bearer {KeyStore(postgres).new()}"}  # of both servers
    with ExitStack() as stack:
        started = [stack.enter_context(serving(postgres)) for _ in range(2)]
        addresses = [address_of(run) for run in started]
        clients = [httpx.Client(base_url=address, headers=header, timeout=120) for address in addresses]
        clients = [stack.enter_context(client) for client in clients]
        assert httpx.get(f"{addresses[1]}/v1/models").status_code == 401
        session = clients[0].post("/v1/sessions").json()["id"]
        turns = f"/v1/sessions/{session}/turns"
        said = []
        for number in range(4):  # by turns: each reads what the other has written
            reply = clients[number % 2].post(turns, json={"message": f"message {number}"} | SHORT).json()
            said += [f"message {number}", reply["text"]]
            assert [each["text"] for each in reply["history"]] == said
            assert reply["warnings"] == []

        def talk(which: int) -> list[tuple[str, str]]:
            told = []
            for number in range(EACH):  # at the same time, whatever the other does
                body = {"message": f"client {which} message {number}"} | SHORT
                told.append((body["message"], clients[which].post(turns, json=body).json()["text"]))
            return told

        with ThreadPoolExecutor(2) as pool:
            one, two = pool.map(talk, range(2))
    exchanges = Store(postgres).exchanges(session)
    assert [each.position for each in exchanges] == list(range(1, 5 + 2 * EACH))
    kept = [(each.message, each.reply.text) for each in exchanges[4:]]
    assert [each for each in kept if each[0].startswith("client 0")] == one
    assert [each for each in kept if each[0].startswith("client 1")] == two


def test_keys_and_sessions_of_a_store(place: str) -> None:
    key = adapterbot("keys", "new", "--name", "phone", "--store", place).strip()
    assert "phone" in adapterbot("keys", "list", "--store", place)
    assert "revoked" in adapterbot("keys", "revoke", key.split("-")[1], "--store", place)
    assert "revoked 20" in adapterbot("keys", "list", "--store", place)
    store = Store(place)
    store.append("anna", "Hello", Reply("Hi.", "chitchat"))
    store.judge("anna", 1, 1)
    assert "anna  1 turns" in adapterbot("sessions", "list", "--store", place)
    for command in (("show", "anna"), ("export", "anna"), ("export", "--feedback")):
        assert '"Hello"' in adapterbot("sessions", *command, "--store", place)
    assert "removed anna" in adapterbot("sessions", "rm", "anna", "--store", place)
    store.append("ben", "Hello", Reply("Hi.", "chitchat"))
    assert adapterbot("sessions", "rm", "--unused", "0", "--store", place) == "removed 1 conversation\n"
    assert store.sessions() == []


def test_chat_goes_on_in_a_store(place: str, on_tiny: None) -> None:
    talk = ("chat", "--session", "anna", "--skill", "chitchat", "--max-tokens", "3", "--drafts", "1", "--store", place)
    for message in ("Hello", "Again"):
        adapterbot(*talk, typed=f"{message}\n/quit\n")
    assert Store(place).history("anna").texts[::2] == ("Hello", "Again")
    assert "add --session NAME" in adapterbot("chat", "--store", place)


COMMANDS = [
    ("serve", "--port", "0"),
    ("ui", "--port", "0", "--no-browser"),
    ("chat", "--session", "anna"),
    ("keys", "list"),
    ("sessions", "list"),
    ("doctor",),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_cannot_be_used_is_told_without_a_password(
    command: tuple[str, ...], on_tiny: None, cluster: Cluster, home: Home
) -> None:
    for place, said in (
        (cluster.url("postgres", password=SECRET), "password authentication failed"),
        (cluster.url("nosuch"), "does not exist"),
        (f"postgresql+psycopg://bot:{SECRET}@127.0.0.1:9/bot", "refused"),
        (f"postgresql+psycopg2://bot:{SECRET}@127.0.0.1/bot", "is no database for a store"),
    ):
        told = adapterbot(*command, "--store", place)
        assert said in told
        assert cluster.password not in told
        assert SECRET not in told
        assert command == ("doctor",) or len(told.splitlines()) == 1
    assert not home.database.exists()
