"""A text that a model goes on with, and how likely it finds each of its tokens: no turn, for programs that measure.

No manager, no facts and no prompt around it: the ids as they are, by the backbone alone or with one adapter, which then
acts on all of them. T tokens, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import torch

from adapterbot.engine.drafts import settled
from adapterbot.engine.request import Deadline, Request
from adapterbot.engine.scheduler import Scheduler
from adapterbot.errors import InputError, TooLongError
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone
from adapterbot.network.tokenizer import Tokenizer
from adapterbot.reply.safety import Guard
from adapterbot.reply.stops import Stopper
from adapterbot.turn import Decode

CHUNK = 256  # positions whose logits [CHUNK, V] are in memory at a time
BEFORE = "a"  # a text before a token, so that it reads as it does within one
SAID = 2000  # characters of the text's end by which it is judged what would do harm after it


@dataclass(frozen=True, slots=True)
class Opening:
    """A text to go on with, as token ids; `adapter` is a row of the bank by name, None for the bare backbone."""

    ids: tuple[int, ...]
    decode: Decode
    seed: int
    adapter: str | None = None
    stops: tuple[str, ...] = ()
    deadline: Deadline = field(default_factory=Deadline, compare=False)

    @staticmethod
    def ids_of(backbone: Backbone, prompt: str | Sequence[int], room: int) -> tuple[int, ...]:
        """Of a text or of ids; an empty one begins as a text does, with the separator.

        Raises:
            InputError: an id that no token has. TooLongError: no room for so many more tokens.
        """
        tokenizer = backbone.tokenizer
        ids = tuple(tokenizer.encode(prompt) if isinstance(prompt, str) else prompt) or (tokenizer.separator,)
        if wrong := next((i for i in ids if not 0 <= i < tokenizer.size), None):
            raise InputError(f"there is no token {wrong}; this model's go from 0 to {tokenizer.size - 1}")
        if len(ids) + room > backbone.positions:
            raise TooLongError(
                f"the text has {len(ids)} tokens, and {room} are to be added; {backbone.positions} are read in all"
            )
        return ids


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its text, its log-probability after those before it, and the likeliest tokens there, best first.

    The first of a text has neither. `start` is the character of the whole text at which it begins: a character of
    several tokens begins with each of them.
    """

    text: str
    logprob: float | None = None
    likeliest: dict[str, float] = field(default_factory=dict)
    start: int = 0


@dataclass(frozen=True, slots=True)
class Continuation:
    """What was added: its text, and its ids, with the separator where it `finished`. `refused` says why it ends there.

    `cached` of the tokens before it were read for an earlier text.
    """

    text: str
    ids: tuple[int, ...]
    finished: bool
    refused: str = ""
    cached: int = 0


def continued(
    scheduler: Scheduler, bank: AdapterBank, opening: Opening, guard: Guard
) -> Generator[str, None, Continuation]:
    """What the model adds, in pieces; a piece is empty where nothing can be shown yet. Closing it stops the work.

    It ends where the guard refuses what was added.
    """
    backbone = scheduler.backbone
    tokenizer = backbone.tokenizer
    before = tokenizer.decode(opening.ids)
    request = Request(opening.ids, opening.adapter, opening.decode, opening.seed, deadline=opening.deadline)
    stopper = Stopper(opening.stops)
    read = shown = ""
    with contextlib.closing(scheduler.stream(bank, request)) as growing:
        for samples in growing:
            grown = samples[0]
            there = grown.ids if grown.done else settled(backbone, grown.ids)
            whole = tokenizer.decode([*opening.ids, *there])[len(before) :]
            text = whole if grown.done else whole.rstrip("\ufffd")  # half a character waits
            if text.strip() and (refused := guard.draft(text, (before[-SAID:],))):
                ids = _making(backbone, opening, grown.ids, shown)
                return Continuation(shown, ids, True, refused, cached=request.reading.cached)
            piece = stopper.more(text[len(read) :] if text.startswith(read) else "")
            read = text
            shown += piece
            yield piece
            if stopper.stopped:
                ids = _making(backbone, opening, grown.ids, shown)
                return Continuation(shown, ids, True, cached=request.reading.cached)
    if rest := stopper.rest():
        yield rest
    ended = (tokenizer.separator,) if grown.finished else ()
    return Continuation(shown + rest, (*grown.ids, *ended), grown.finished, cached=request.reading.cached)


def _making(backbone: Backbone, opening: Opening, ids: Sequence[int], text: str) -> tuple[int, ...]:
    """The first of the ids, as many as it takes to make up `text`."""
    decode = backbone.tokenizer.decode
    before = len(decode(opening.ids))
    for count in range(len(ids)):
        if decode([*opening.ids, *ids[:count]])[before:].startswith(text):
            return tuple(ids[:count])
    return tuple(ids)


@torch.inference_mode()
def scored(
    backbone: Backbone, bank: AdapterBank, ids: Sequence[int], adapter: str | None = None, likeliest: int = 0
) -> list[Token]:
    """Each of the ids with its log-probability and so many of the likeliest tokens at its place."""
    device = backbone.device
    wording = _Wording(backbone.tokenizer)
    starts = wording.starts(ids)
    hidden = backbone.decoder(torch.tensor([ids], device=device), bank.select([adapter]))[0]  # [T, d]
    tokens = [
        Token(wording.text(ids[0]) if ids[0] == backbone.tokenizer.separator else backbone.tokenizer.decode(ids[:1]))
    ]
    for start in range(0, len(ids) - 1, CHUNK):
        following = torch.tensor(ids[start + 1 : start + 1 + CHUNK], device=device)
        logits = backbone.decoder.logits(hidden[start : start + len(following)]).float()
        logprobs = logits.log_softmax(-1)  # [CHUNK, V]
        chosen = logprobs.gather(-1, following[:, None])[:, 0].tolist()
        best = logprobs.topk(likeliest, dim=-1) if likeliest else None
        for i, (id, logprob) in enumerate(zip(following.tolist(), chosen, strict=True)):
            there = dict[str, float]()
            if best is not None:
                for other, value in zip(best.indices[i].tolist(), best.values[i].tolist(), strict=True):
                    there.setdefault(wording.text(other), value)  # two halves of characters may read alike
            tokens.append(Token(wording.text(id), logprob, there, starts[len(tokens)]))
    return tokens


class _Wording:
    """How tokens read."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._before = tokenizer.encode(BEFORE)

    def text(self, id: int) -> str:
        """One token within a text, its space in front included, which some tokenizers leave out where a text begins."""
        tokenizer = self._tokenizer
        return tokenizer.separator_text if id == tokenizer.separator else self._within([id])

    def starts(self, ids: Sequence[int]) -> list[int]:
        """The character at which each token begins in the text that `decode` makes of all."""
        starts = list[int]()
        whole, run = 0, list[int]()  # characters that are whole, and the tokens since then: those of half a character
        for id in ids:
            starts.append(whole)
            run.append(id)
            text = self._within(run) if whole else self._tokenizer.decode(run)
            if not text.endswith("\ufffd"):
                whole, run = whole + len(text), []
        return starts

    def _within(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode([*self._before, *ids])[len(BEFORE) :]
