"""How fast the engine is: tokens a second of prompts that mean nothing, read or decoded by the rows of a batch."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from adapterbot.engine.batch import Batch, Job
from adapterbot.engine.prefill import whole
from adapterbot.engine.request import Request
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone
from adapterbot.turn import Decode

OPENING = 3  # tokens of a prompt that open the reply
CPU = Path("/proc/cpuinfo")


def processor() -> str:
    """Its name, as far as the system tells it."""
    lines = CPU.read_text(encoding="utf-8", errors="replace").splitlines() if CPU.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def ids_of(backbone: Backbone, row: int, count: int) -> list[int]:
    """Tokens without a meaning, others for every row from the first on."""
    vocabulary = backbone.shape.vocab // 2
    return [(row * 997 + i * 31 + 7) % vocabulary for i in range(count)]


def request(backbone: Backbone, row: int, adapter: str | None, prompt: int, tokens: int) -> Request:
    """Greedy, to exactly so many tokens."""
    return Request(ids_of(backbone, row, prompt), adapter, exactly(tokens), row, reply=max(0, prompt - OPENING))


def exactly(tokens: int) -> Decode:
    """Greedy decoding that neither ends before nor looks back."""
    return Decode(temperature=0.0, repetition_penalty=1.0, no_repeat_ngram=0, min_tokens=tokens, max_tokens=tokens)


@torch.inference_mode()
def prefill_rate(bank: AdapterBank, adapter: str | None, tokens: int) -> float:
    """Tokens of a prompt that are read a second."""
    wanted = request(bank.backbone, 0, adapter, tokens, 1)
    started = time.perf_counter()
    whole(bank.backbone, bank, wanted, 1)
    return tokens / (time.perf_counter() - started)


@torch.inference_mode()
def decode_rate(bank: AdapterBank, adapters: Sequence[str | None], prompt: int, tokens: int) -> float:
    """Tokens a second of a batch in which every row has its adapter, from the end of the prompts on."""
    batch = Batch(bank.backbone, bank)
    for row, adapter in enumerate(adapters):
        wanted = request(bank.backbone, row, adapter, prompt, tokens + 2)
        logits, cache = whole(bank.backbone, bank, wanted, tokens + 2)
        batch.join(Job(bank.backbone, bank, wanted), cache, logits)
    started = time.perf_counter()
    for _ in range(tokens):
        batch.step()
    return len(adapters) * tokens / (time.perf_counter() - started)


def beside_bare(bank: AdapterBank, adapter: str, *, prompt: int, tokens: int, rounds: int) -> tuple[float, float]:
    """Tokens a second of one row with an adapter, and how many times as fast as without one that is.

    Both take turns, A B A B, and the ratio is the median of the rounds, so that a machine that slows down slows both.
    The first round warms up and does not count.
    """
    pairs = []
    for _ in range(rounds + 1):
        bare = decode_rate(bank, [None], prompt, tokens)
        pairs.append((decode_rate(bank, [adapter], prompt, tokens), bare))
    kept = pairs[1:]
    return statistics.median(own for own, _ in kept), statistics.median(own / bare for own, bare in kept)
