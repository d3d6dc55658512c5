"""What a person waits for: a command's start, the first words, skills that are loaded."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from adapterbot.bot import Bot
from adapterbot.cli.bench import work
from adapterbot.cli.bench.results import Row
from adapterbot.cli.bench.setting import Setting
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import load_adapter, save_adapter
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone

MESSAGE = "My best friend moved away and I feel so alone."
LATER = ("hello there", "Thanks, that helps.", "What do you do for fun?", "Tell me about jazz.", "I see.")
ADAPTERS = 26
STREAMED = ("chitchat", "empathetic", "wiki")
# The child reports its own peak, so that nothing of this process is counted.
PEAK = """
import resource, sys
from adapterbot.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def measures(setting: Setting) -> Iterator[Row]:
    """Start-up and memory of commands, and the first words of a bot, on all cores that are free."""
    times = range(setting.sizes.starts)
    setting.announce("adapterbot --help")
    yield _row("adapterbot --help", "s", [_command("--help")[0] for _ in times], 0.5)
    setting.announce("adapterbot respond")
    _ = setting.backbone  # prepared for this processor beforehand
    cold = [_command("respond", MESSAGE) for _ in times]
    yield _row("adapterbot respond, from the start", "s", [seconds for seconds, _ in cold], 4)
    yield _row("its peak of memory", "MB", [peak for _, peak in cold], 700)
    setting.announce(f"loading {ADAPTERS} adapters")
    yield _row(f"loading {ADAPTERS} adapters", "s", [_load_adapters(setting.backbone) for _ in times], 1)
    bot = Bot.load(home=setting.home.root, log=False)
    setting.announce("first words of a later turn")
    yield _row("first words of a later turn", "ms", _first_words(bot, LATER[: setting.sizes.repeats]), 400)
    for skill in STREAMED:
        setting.announce(f"first words of {skill}")
        what = f"share of its time after which a stream of {skill} begins"
        if skill in bot.roster.problems:
            why = f"{skill} cannot answer by this backbone"
            yield Row("start", what, "of 1", at_most=0.5, why=why)
        else:
            yield _row(what, "of 1", _first_word_shares(bot, skill, 2 * setting.sizes.starts), 0.5)


def _row(name: str, unit: str, figures: list[float], most: float) -> Row:
    return Row("start", name, unit, tuple(figures), at_most=most)


def _command(*arguments: str) -> tuple[float, float]:
    """Wall seconds and peak megabytes of one command line in a process of its own."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    peak = float(done.stderr.split()[-1])
    return seconds, peak / 1024 if sys.platform != "darwin" else peak / 2**20


def _first_words(bot: Bot, messages: tuple[str, ...]) -> list[float]:
    """Milliseconds from a later message to its first piece, the manager's choice included."""
    history = bot.respond("Hi!", max_tokens=10).history
    next(bot.stream(MESSAGE, history))  # what is opened once
    milliseconds = []
    for message in messages:
        started = time.perf_counter()
        next(bot.stream(message, history))
        milliseconds.append(1000 * (time.perf_counter() - started))
    return milliseconds


def _first_word_shares(bot: Bot, skill: str, most: int) -> list[float]:
    """At what share of a stream's time its first words are there, of some of the skill's examples."""
    messages = bot.specs[skill].routing.examples[:most]
    bot.respond(messages[0], skill=skill, seed=0)  # what is opened once
    shares = []
    for seed, message in enumerate(messages):
        started = time.perf_counter()
        stream = bot.stream(message, skill=skill, seed=seed)
        next(stream)
        first = time.perf_counter() - started
        for _ in stream:
            pass
        shares.append(first / (time.perf_counter() - started))
    return shares


def _load_adapters(backbone: Backbone) -> float:
    """Seconds from files to a bank."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(i) / "adapter.safetensors" for i in range(ADAPTERS)]
        adapter = Adapter(backbone.shape, work.SHIPPED)
        for path in paths:
            save_adapter(path, adapter.tensors(), {"type": adapter.kind, "backbone": backbone.fingerprint})
        started = time.perf_counter()
        AdapterBank(backbone, {p.parent.name: load_adapter(p, backbone.shape, backbone.fingerprint) for p in paths})
        return time.perf_counter() - started
