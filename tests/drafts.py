"""What the tests of drafts share."""

from __future__ import annotations

from collections.abc import Sequence

from adapterbot.engine.generate import draft, grow
from adapterbot.engine.request import Request
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone
from adapterbot.turn import Draft


def generate(backbone: Backbone, bank: AdapterBank, requests: Sequence[Request]) -> list[list[Draft]]:
    """All drafts of all requests, in order."""
    return [[draft(backbone, sample) for sample in samples] for samples in grow(backbone, bank, requests)]
