"""A server that is killed in the middle of a reply: what was shown as said before is there after the restart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from adapterbot.home import Home
from adapterbot.storage.conversations import Store

SPEAKS = """
import sys, time
from adapterbot.bot import Bot
from adapterbot.turn import Decode
from adapterbot.ui.handlers import Handlers
from adapterbot.ui.visitor import SLIDERS, Visitor

handlers, visitor = Handlers(Bot.load(sys.argv[1])), Visitor(owner="a" * 24)
moved = {"min_tokens": 40, "max_tokens": 40, "drafts": 1}
inputs = ("chitchat", "", "", "", False, "7", *(moved.get(name, getattr(Decode(), name)) for name in SLIDERS))
*_, last = handlers.send(visitor, {}, "one", *inputs)
print(visitor.session, "one" in last.talk, flush=True)
for _, screen in zip(range(6), handlers.send(visitor, {}, "two", *inputs)):
    pass
print("ab-growing" in screen.now, flush=True)
time.sleep(60)
"""


def test_a_killed_server_loses_no_turn_that_was_shown(tiny_folder: Path, home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", SPEAKS, str(tiny_folder)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        session, shown = run.stdout.readline().split()
        growing = run.stdout.readline().strip()
        run.kill()
    assert (shown, growing) == ("True", "True")
    (told,) = Store(home.database).exchanges(session)
    assert told.message == "one"
    assert told.reply.text
