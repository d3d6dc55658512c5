"""The default backbone beside llama.cpp and transformers, and how near it is to what memory gives."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from adapterbot.cli.bench import work
from adapterbot.cli.bench.peers import Peer, PeerError, Peers
from adapterbot.cli.bench.results import Row
from adapterbot.cli.bench.setting import Setting, alternate
from adapterbot.evaluation import speed
from adapterbot.home import Home
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import load_backbone, save_backbone
from adapterbot.network.names import GGUF, find_backbone, wanted_backbone

OURS = "adapterbot"
LLAMA = "llama.cpp, Q4_1"
TRANSFORMERS = "transformers, fp32"
LARGE = 2**26  # numbers that no cache holds
READS = 5


def measures(setting: Setting) -> Iterator[Row]:
    """Reading a prompt, a row, and eight rows of different skills."""
    sizes = setting.sizes
    bank = work.bank_of(setting.backbone, work.MANY)
    with (
        setting.on(setting.few),
        Peers(setting.peers, setting.few) as peers,
        tempfile.TemporaryDirectory() as folder,
    ):
        others = _Others(setting, peers, Path(folder))
        for name, least, job, mine in (
            ("prefill", 3.0, {"do": "prefill", "rows": 1}, lambda n: speed.prefill_rate(bank, work.skill(0), n)),
            ("batch 1", 1.0, {"do": "decode", "rows": 1}, lambda n: _decode(bank, 1, setting, n)),
            ("batch 8, 8 skills", 2.5, {"do": "decode", "rows": work.MANY}, lambda n: _decode(bank, 8, setting, n)),
        ):
            contenders: dict[str, Callable[[int], float]] = {
                OURS: mine,
                LLAMA: partial(others.rate, others.llama, job),
                TRANSFORMERS: partial(others.rate, others.transformers, job),
            }
            amount = sizes.prompt if name == "prefill" else sizes.tokens
            found = alternate(setting, name, contenders, amount, repeats=sizes.repeats, warm=min(amount, 4))
            what = f"{setting.name}, {name}"
            yield found.row("smollm2", what, "tokens/s", OURS, LLAMA, at_least=least)
            yield found.row("smollm2", what, "tokens/s", OURS, TRANSFORMERS)


def bandwidth(setting: Setting) -> Iterator[Row]:
    """The share of what memory gives that a single row uses."""
    sizes = setting.sizes
    bank = work.bank_of(setting.backbone, 1)
    read = work.bytes_read(bank, work.skill(0)) / 1e9
    with setting.on(setting.few):
        contenders = {
            "weights a step": lambda n: read * _decode(bank, 1, setting, n),
            "memory, read by one sum": lambda n: _memory_rate(),
        }
        found = alternate(setting, "bandwidth", contenders, sizes.tokens, repeats=sizes.repeats, warm=2)
    name = f"{setting.name}, share of the read bandwidth, batch 1"
    yield found.row("bandwidth", name, "GB/s", *contenders, at_least=0.5)


def _decode(bank: AdapterBank, rows: int, setting: Setting, tokens: int) -> float:
    return speed.decode_rate(bank, work.mixed(rows, rows), setting.sizes.begun, tokens)


def _memory_rate() -> float:
    """GB/s of the fastest of some ways to read what is in no cache."""
    numbers = torch.zeros(LARGE)
    best = 0.0
    reads: tuple[Callable[[], object], ...] = (
        lambda: numbers.sum(),
        lambda: torch.dot(numbers, numbers),
        lambda: numbers.max(),
    )
    for read in reads:
        read()
        seconds = []
        for _ in range(READS):
            started = time.perf_counter()
            read()
            seconds.append(time.perf_counter() - started)
        best = max(best, numbers.nbytes / statistics.median(seconds) / 1e9)
    return best


class _Others:
    """llama.cpp and transformers with the same model."""

    def __init__(self, setting: Setting, peers: Peers, folder: Path) -> None:
        self._setting = setting
        self._peers = peers
        self._folder = folder

    def llama(self) -> Peer:
        """By the GGUF file of the default backbone."""
        sizes = self._setting.sizes
        size = max(sizes.prompt, sizes.begun + sizes.tokens) + 16
        return self._peers.llama_cpp(gguf_of(self._setting.home), work.MANY, size)

    def transformers(self) -> Peer:
        """By the same weights in float32."""
        if not any(self._folder.iterdir()):
            self._setting.announce("writing the backbone for transformers")
            precise = load_backbone(home=self._setting.home, dtype=torch.float32)
            torch.set_num_threads(self._setting.few)  # loading chose anew
            save_backbone(self._folder, precise.decoder, precise.tokenizer, {})
        return self._peers.torch("transformers", self._folder)

    def rate(self, library: Callable[[], Peer], job: dict[str, object], amount: int) -> float:
        """Tokens a second of a job in which each row has so many."""
        peer, what = library(), dict(job)
        do, rows = str(what.pop("do")), int(str(what["rows"]))
        if do == "prefill":
            return amount * rows / peer.seconds(do, prompt=amount, **what)
        return amount * rows / peer.seconds(do, prompt=self._setting.sizes.begun, tokens=amount, **what)


def gguf_of(home: Home) -> Path:
    """The GGUF file that the default backbone is made from.

    Raises:
        PeerError: it is made from something else.
    """
    place = find_backbone(wanted_backbone(None), home)
    if isinstance(place, Path) and place.suffix == GGUF:
        return place
    files = sorted(place.glob(f"*{GGUF}")) if isinstance(place, Path) else []
    if not files:
        raise PeerError(f"llama.cpp reads GGUF files, and {place} is none")
    return files[0]
