"""`adapterbot doctor`: what is here, what is missing, and the command that brings it."""

from __future__ import annotations

import os
import platform
import shlex
from importlib.metadata import version

from adapterbot import __version__
from adapterbot.cli.output import say, warn
from adapterbot.cli.requirements import PARTS, install_command
from adapterbot.cli.skills import overrides
from adapterbot.errors import AdapterbotError
from adapterbot.home import Home


def examine(store: str | None = None) -> bool:
    """Print a line per part, store, backbone, skill and manager; whether chatting works."""
    home = Home.at()
    say(f"python {platform.python_version()}, adapterbot {__version__}, home {home.root}")
    for part in PARTS:
        if part.installed:
            say(f"ok       {part.name} {version(part.name)}: {part.use}")
        else:
            say(f"missing  {part.name}: {part.use}; {install_command([part.extra])}")
    say(_kernels())
    say(f"corpora  {os.environ.get('ADAPTERBOT_CORPORA') or 'none; set ADAPTERBOT_CORPORA to train on your own'}")
    kept = _store(store or str(home.database))
    return _models(home) and kept


def _kernels() -> str:
    from adapterbot.network import kernels

    if kernels.usable():
        return "ok       kernels: a new token is computed by compiled functions"
    wanted = "installed where there is a C compiler, on x86-64 with AVX2"
    return f"missing  kernels: torch computes new tokens, some times slower; adapterbot has them {wanted}"


def _store(place: str) -> bool:
    from adapterbot.storage.conversations import Store

    try:
        store = Store(place)
        say(f"ok       store {store.place}: {len(store.sessions())} conversations")
    except AdapterbotError as error:
        say(f"broken   store: {error}")
        return False
    return True


def _models(home: Home) -> bool:
    from adapterbot.bot import Bot

    try:
        bot = Bot.load(home=home.root, log=False, announce=warn)
        manager = bot.manager
    except AdapterbotError as error:
        say(f"broken   {error}")
        return False
    model = bot.backbone
    say(f"ok       backbone {model.name}: {model.parameter_count:,} parameters, {model.fingerprint[:16]}")
    for name in bot.skills:
        say(f"ok       skill {name}")
    for name, problem in bot.roster.problems.items():
        if name not in bot.roster.others:
            say(f"broken   skill {name}: {problem}")
    for note in bot.roster.notes:
        say(f"note     {note}")
    say(f"ok       manager over {', '.join(manager.classes)}" if manager else f"broken   manager: {bot.manager_fault}")
    for override in overrides(home).values():
        say(f"yours    {override}")
    own = sorted(path for path in home.manager.glob("**/*") if path.is_file()) if home.manager.is_dir() else []
    if own:
        undo = shlex.join(["rm", "-r", str(home.manager)])
        say(f"yours    manager: {home.manager} replaces what ships; undo: {undo}")
    return not bot.roster.problems and not bot.manager_fault
