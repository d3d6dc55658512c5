"""`adapterbot serve` and `adapterbot keys`, as they are typed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from adapterbot.home import Home

LONG: dict[str, Any] = {"max_tokens": 120, "seed": 1, "extra_body": {"drafts": 1, "min_tokens": 100}}


def adapterbot(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "adapterbot.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def server(home: Home) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server with a page, as it is started, and its address."""
    command = [sys.executable, "-m", "adapterbot.cli", "serve", "--port", "0"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert running.stdout
    line = running.stdout.readline()
    found = re.search(r"adapterbot is at (\S+)/v1", line)
    assert found, line
    yield running, found[1]
    running.kill()
    running.communicate()


def test_keys_are_made_listed_and_revoked(home: Home) -> None:
    key = adapterbot("keys", "new", "--name", "phone", "--per-minute", "30").stdout.strip()
    listed = adapterbot("keys", "list").stdout
    assert "open, 30 a minute  phone" in listed
    assert key not in listed
    assert adapterbot("keys", "revoke", key.split("-")[1]).returncode == 0
    assert "revoked 20" in adapterbot("keys", "list").stdout
    again = adapterbot("keys", "revoke", "nothing")
    assert (again.returncode, again.stdout) == (1, "")
    assert len(again.stderr.splitlines()) == 1


def test_others_are_not_let_in_without_a_key(home: Home) -> None:
    done = adapterbot("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "adapterbot keys new" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_it_finishes_what_it_began_before_it_stops(server: tuple[subprocess.Popen[str], str]) -> None:
    running, address = server
    page = httpx.get(address, headers={"accept": "text/html"}, timeout=60)
    assert page.status_code == 200
    assert "gradio" in page.text
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=120) as client:
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], **LONG}
        stream = client.chat.completions.create(model="adapterbot/chitchat", stream=True, **asked)
        first = next(stream)
        running.send_signal(signal.SIGTERM)
        chunks = [first, *stream]
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert running.wait(timeout=60) == 0
    assert running.stderr
    log = running.stderr.read()
    assert '"status": 200' in log
    assert "Traceback" not in log
