"""`adapterbot bench`: speed and memory, and the decoder side by side with transformers in the same run."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from adapterbot.bot import Bot
from adapterbot.home import written_by_rename
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import load_adapter, save_adapter
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.backbone import Backbone, load_backbone, save_backbone
from adapterbot.spec.tables import AdapterTable

MESSAGE = "My best friend moved away and I feel so alone."
RUNS = 5
NEW_TOKENS = 64
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


def run(out: Path | None) -> None:
    """Measure everything, print a table with the targets, write JSON if `out` is given."""
    backbone = load_backbone()
    figures: dict[str, Any] = {
        "help_seconds": _median(lambda: _command("--help")[0]),
        "cold_respond_seconds": _median(lambda: _command("respond", MESSAGE)[0]),
        "cold_respond_peak_mb": _command("respond", MESSAGE)[1],
        "first_token_later_turn_ms": 1000 * _first_token(),
        **{f"first_word_share_{skill}": share for skill, share in _first_word_shares().items()},
        "load_26_adapters_seconds": _median(lambda: _load_adapters(backbone)),
        "decode_tokens_per_second": _rate(lambda: _ours(backbone)),
    }
    if importlib.util.find_spec("transformers"):
        model = _peer()
        figures["transformers_tokens_per_second"] = _rate(lambda: _theirs(model))
        figures["ratio_to_transformers"] = (
            figures["decode_tokens_per_second"] / figures["transformers_tokens_per_second"]
        )
    _show(figures)
    if out is not None:
        with written_by_rename(out) as temporary:
            temporary.write_text(json.dumps(figures, indent=2), encoding="utf-8")


TARGETS = {
    "help_seconds": "< 0.5",
    "cold_respond_seconds": "< 4",
    "cold_respond_peak_mb": "< 700",
    "first_token_later_turn_ms": "< 400",
    "load_26_adapters_seconds": "< 1",
    **{f"first_word_share_{skill}": "< 0.5" for skill in STREAMED},
}


def _show(figures: dict[str, Any]) -> None:
    table = Table("figure", "measured", "target")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3g}" if value < 100 else f"{value:,.0f}", TARGETS.get(name, ""))
    Console(highlight=False).print(table)


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(RUNS))


def _rate(work: Callable[[], int]) -> float:
    """Tokens per second: the median of several runs after one to warm up."""
    work()
    rates = []
    for _ in range(RUNS):
        started = time.perf_counter()
        rates.append(work() / (time.perf_counter() - started))
    return statistics.median(rates)


def _command(*arguments: str) -> tuple[float, float]:
    """Wall seconds and peak megabytes of one command line in a process of its own."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    peak = float(done.stderr.split()[-1])
    return seconds, peak / 1024 if sys.platform != "darwin" else peak / 2**20


def _first_token() -> float:
    """Seconds from a later message to its first piece, the manager's choice included."""
    bot = Bot.load(log=False)
    seconds = []
    for message in (
        MESSAGE,
        "hello there",
        "Thanks, that helps.",
        "What do you do for fun?",
        "Tell me about jazz.",
        "I see.",
    ):
        history = bot.respond("Hi!", max_tokens=10).history
        started = time.perf_counter()
        next(bot.stream(message, history))
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _first_word_shares() -> dict[str, float]:
    """By skill, at what share of a stream's time its first words are there: the median over some of its examples."""
    bot, found = Bot.load(log=False), dict[str, float]()
    for skill in STREAMED:
        messages = bot.specs[skill].routing.examples[: 2 * RUNS]
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
        found[skill] = statistics.median(shares)
    return found


def _load_adapters(backbone: Backbone) -> float:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(i) / "adapter.safetensors" for i in range(ADAPTERS)]
        adapter = Adapter(backbone.shape, AdapterTable(bottleneck=64, first_layer=0.34, on="reply"))
        for path in paths:
            save_adapter(path, adapter.tensors(), {"type": adapter.kind, "backbone": backbone.fingerprint})
        started = time.perf_counter()
        AdapterBank(backbone, {p.parent.name: load_adapter(p, backbone.shape, backbone.fingerprint) for p in paths})
        return time.perf_counter() - started


@torch.inference_mode()
def _ours(backbone: Backbone) -> int:
    """Greedy decoding with the cache, one row."""
    cache = Cache(backbone.shape, 1, 16 + NEW_TOKENS)
    ids = torch.arange(16)[None]
    for _ in range(NEW_TOKENS):
        ids = backbone.decoder.logits(backbone.decoder(ids, None, cache)[:, -1:]).argmax(-1)
    return NEW_TOKENS


def _peer() -> Any:
    """The backbone in float32, as transformers computes it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    precise = load_backbone(dtype=torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        save_backbone(Path(folder), precise.decoder, precise.tokenizer, {})
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.inference_mode()
def _theirs(model: Any) -> int:
    ids = torch.arange(16)[None]
    kept = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        min_new_tokens=NEW_TOKENS,
        max_new_tokens=NEW_TOKENS,
        pad_token_id=1,
    )
    return int(kept.shape[1] - ids.shape[1])
