"""How large the measures of a run are, and how contenders take turns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from adapterbot.cli.bench.peers import PeerError
from adapterbot.cli.bench.results import Row
from adapterbot.home import Home
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.backbone import Backbone, load_backbone
from adapterbot.network.device import limit_threads

MEDIUM = Shape(vocab=50257, positions=1024, width=1024, layers=24, heads=16, inner=4096)  # GPT-2-medium, DialoGPT
LITTLE = Shape(vocab=1024, positions=128, width=32, layers=2, heads=4, inner=64)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done, and how often."""

    repeats: int
    prompt: int  # tokens that are read
    begun: int  # tokens before those that are made
    tokens: int  # that are made
    requests: int  # at once
    turns: int
    turn: int  # tokens of a message and its reply
    loaded: int  # skills whose memory is measured
    shape: Shape  # in place of GPT-2's weights, which are random
    gpt2_repeats: int
    gpt2_tokens: int
    row: int  # tokens of a row to learn
    starts: int  # of a command
    skills: tuple[int, ...]  # along which cost may grow: skills that are loaded
    mixed: tuple[int, ...]  # skills of one batch
    at_once: tuple[int, ...]
    histories: tuple[int, ...]


FULL = Sizes(
    repeats=5,
    prompt=150,
    begun=16,
    tokens=32,
    requests=32,
    turns=20,
    turn=40,
    loaded=64,
    shape=MEDIUM,
    gpt2_repeats=3,
    gpt2_tokens=16,
    row=128,
    starts=3,
    skills=(0, 1, 4, 8, 26, 256),
    mixed=(0, 1, 4, 8, 26),
    at_once=(1, 2, 4, 8, 16, 32, 64),
    histories=(1, 5, 10, 20, 40),
)
QUICK = Sizes(
    repeats=1,
    prompt=24,
    begun=8,
    tokens=3,
    requests=4,
    turns=4,
    turn=12,
    loaded=3,
    shape=LITTLE,
    gpt2_repeats=1,
    gpt2_tokens=2,
    row=16,
    starts=1,
    skills=(0, 1, 3),
    mixed=(0, 1, 3),
    at_once=(1, 3),
    histories=(1, 3),
)


@dataclass
class Setting:
    """One run: sizes, where things lie, and what it says while it works."""

    home: Home
    peers: Path
    sizes: Sizes = FULL
    threads: int | None = None  # of every side; None: one for the default backbone, all for GPT-2's shape
    announce: Callable[[str], None] = lambda text: None
    cores: int = field(init=False)

    def __post_init__(self) -> None:
        limit_threads()
        self.cores = torch.get_num_threads()

    @property
    def few(self) -> int:
        """Threads for the default backbone: what serves many people is measured by the core."""
        return self.threads or 1

    @property
    def many(self) -> int:
        """Threads for GPT-2's shape."""
        return self.threads or self.cores

    @cached_property
    def backbone(self) -> Backbone:
        """The default backbone, as it answers."""
        return load_backbone(home=self.home, announce=self.announce)

    @property
    def name(self) -> str:
        """What the default backbone is called, be it a path."""
        return Path(self.backbone.name).name

    @contextlib.contextmanager
    def on(self, threads: int) -> Iterator[None]:
        """What is computed in the block has so many threads."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@dataclass(slots=True)
class Figures:
    """What contenders did, by their names, and why others did nothing."""

    values: dict[str, tuple[float, ...]]
    missing: dict[str, str]

    def row(
        self,
        part: str,
        name: str,
        unit: str,
        ours: str,
        theirs: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> Row:
        """One contender beside another."""
        why = self.missing.get(ours) or self.missing.get(theirs, "")
        mine, other = self.values.get(ours, ()), self.values.get(theirs, ())
        return Row(part, name, unit, mine, theirs, other, at_least, at_most, why)


def alternate(
    setting: Setting,
    what: str,
    contenders: Mapping[str, Callable[[int], float]],
    amount: int,
    *,
    repeats: int,
    warm: int | None = None,
) -> Figures:
    """The figures of contenders that take turns: A B A B. Each is called with how much it is to do.

    One that cannot be measured leaves the others alone. `warm`: how much is done beforehand; None: as much.
    """
    values: dict[str, list[float]] = {name: [] for name in contenders}
    missing = dict[str, str]()
    for turn in range(repeats + 1):
        for name, contender in contenders.items():
            if name in missing:
                continue
            setting.announce(f"{what}: {name}, {turn} of {repeats}")
            try:
                figure = contender(amount if turn or warm is None else warm)
            except PeerError as error:
                missing[name] = str(error)
                continue
            if turn:
                values[name].append(figure)
    kept = {name: tuple(found) for name, found in values.items() if name not in missing}
    return Figures(kept, missing)
