"""Whatever a model would like to say, it writes under a grammar."""

from __future__ import annotations

import pytest
from conftest import make_chatml, make_tiny

from adapterbot.engine import grammar
from adapterbot.engine.grammar import write
from adapterbot.engine.request import Request
from adapterbot.knowledge.query_language import Schema
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.turn import Decode

SCHEMA = Schema("hotel", (("name", ()), ("area", ("north", "south")), ("stars", ())))


class Words:
    """The texts yes and no."""

    def starts(self, text: str) -> bool:
        """Whether one of them begins like this."""
        return any(word.startswith(text) for word in ("yes", "no"))

    def whole(self, text: str) -> bool:
        """Whether this is one of them."""
        return text in ("yes", "no")


@pytest.mark.parametrize("seed", range(2))
def test_untrained_models_write_what_is_allowed_or_nothing(seed: int) -> None:
    for backbone in (make_tiny(seed), make_chatml(seed)):
        request = Request(backbone.tokenizer.encode("a hotel, please"), None, Decode(max_tokens=30), seed)
        bank = AdapterBank(backbone)
        text = write(backbone, bank, request, SCHEMA)
        assert text == "" or SCHEMA.whole(text)
        assert write(backbone, bank, request, SCHEMA) == text
        assert write(backbone, bank, request, Words()) in ("", "yes", "no")


def test_an_allowed_word_is_written_where_enough_tokens_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "TRIED", 100_000)
    backbone = make_chatml()
    for text in ("well?", "do you like it?"):
        request = Request(backbone.tokenizer.encode(text), None, Decode(max_tokens=8), 0)
        assert grammar.write(backbone, AdapterBank(backbone), request, Words()) in ("yes", "no")
