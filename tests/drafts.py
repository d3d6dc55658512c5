"""What the tests of drafts share."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapterbot.engine.drafts import draft
from adapterbot.engine.request import Request
from adapterbot.engine.scheduler import Scheduler
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile
from adapterbot.network.adapters.kinds import kind_of
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.backbone import Backbone
from adapterbot.spec.tables import AdapterTable
from adapterbot.turn import Draft


def generate(backbone: Backbone, bank: AdapterBank, requests: Sequence[Request]) -> list[list[Draft]]:
    """All drafts of all requests, in order."""
    return [[draft(backbone, sample) for sample in samples] for samples in Scheduler(backbone).grow(bank, requests)]


def forked(cache: Cache, rows: Sequence[int], room: int) -> Cache:
    """Another cache, whose rows go on from these."""
    memory = cache.memory
    fork = Cache(cache.shape, 0, 0, device=memory.device, dtype=memory.dtype)
    for row in rows:
        fork.add(cache, row, room=room)
    return fork


def random_file(backbone: Backbone, table: AdapterTable, seed: int, scale: float = 0.2) -> AdapterFile:
    """An adapter of random weights, in the form in which it is stored."""
    adapter = Adapter(backbone.shape, table, seed)
    draw = torch.Generator().manual_seed(seed)
    fixed = kind_of(table.type).fixed
    made = {
        n: t if n in fixed else t + scale * torch.randn(t.shape, generator=draw) for n, t in adapter.tensors().items()
    }
    return AdapterFile(made, {"type": table.type, "on": adapter.on})


def mixed_bank(backbone: Backbone) -> AdapterBank:
    """Adapters of several types and sizes: some read prompts, some act on replies alone."""
    tables = {
        "wide": AdapterTable(bottleneck=12),
        "reply": AdapterTable(bottleneck=8, on="reply"),
        "upper": AdapterTable(bottleneck=4, first_layer=1, on="reply"),
        "lora": AdapterTable(type="lora"),
    }
    return AdapterBank(backbone, {n: random_file(backbone, t, seed) for seed, (n, t) in enumerate(tables.items())})
