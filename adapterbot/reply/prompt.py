"""4 · Facts and history to token ids and labels: the same function for training, evaluation and chat.

The backbone's vocabulary says which layout it has. `dialogpt` (Madotto et al. 2020, section 3.1), where utterances are
closed by a separator:

    facts joined by newlines <sep> utterance <sep> utterance <sep> reply <sep>

`chatml`, where each message stands between two control tokens; facts are a message directly before the reply. What is
before them is the conversation alone: what it is computed to stays from turn to turn, and skills can share it.

    <|im_start|>user\\n utterance <|im_end|>\\n ...
    <|im_start|>system\\n facts <|im_end|>\\n <|im_start|>assistant\\n reply <|im_end|>
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapterbot.network.tokenizer import IGNORE, Tokenizer
from adapterbot.turn import Prompt


def encode(
    tokenizer: Tokenizer,
    facts: Iterable[str],
    utterances: Sequence[str],
    *,
    positions: int,
    reserve: int = 0,
    learn: Iterable[int] = (),
) -> Prompt:
    """Lay out one prompt of at most `positions - reserve` tokens.

    `learn` holds the indexes of the utterances that are replies to train or score: their tokens and the separator
    that closes them become labels, all else is IGNORE. With `learn` the last utterance is a reply, so the newest user
    turn is the one before it.

    When the whole is too long, the oldest utterances go first, then facts from the end; the newest user turn always
    stays, if need be without its beginning. `Prompt.dropped` says what went.
    """
    learn = set(learn)
    layout = ChatML(tokenizer) if tokenizer.start is not None else DialoGPT(tokenizer)
    kept_facts = list(facts)
    dropped = []
    room = positions - reserve
    last = len(utterances) - bool(learn)  # the index of the reply; utterances alternate before it
    pieces = [layout.utterance(text, (last - i) % 2 == 1, i in learn) for i, text in enumerate(utterances)]
    keep = min(2 if learn else 1, len(pieces))
    while len(pieces) > keep and layout.length(kept_facts, pieces, bool(learn)) > room:
        dropped.append(f"utterance: {utterances[len(utterances) - len(pieces)]}")
        pieces = pieces[1:]
    while kept_facts and layout.length(kept_facts, pieces, bool(learn)) > room:
        dropped.append(f"fact: {kept_facts.pop()}")
    over = layout.length(kept_facts, pieces, bool(learn)) - room
    if over > 0 and pieces:
        dropped.append(f"the first {over} tokens of the newest user turn")
        pieces[-keep] = pieces[-keep].without(over)
    return layout.prompt(kept_facts, pieces, bool(learn), tuple(dropped))


@dataclass(frozen=True, slots=True)
class Piece:
    """The tokens of one utterance: those that open it, its text, and those that close it, the first of which ends it.

    `learnt`: the text and its end are labels.
    """

    opening: tuple[int, ...]
    text: tuple[int, ...]
    closing: tuple[int, ...]
    learnt: bool = False

    @property
    def ids(self) -> tuple[int, ...]:
        """All of them."""
        return self.opening + self.text + self.closing

    @property
    def labels(self) -> tuple[int, ...]:
        """The text and its end if they are learnt, else IGNORE."""
        if not self.learnt:
            return (IGNORE,) * len(self.ids)
        end, *rest = self.closing
        return (IGNORE,) * len(self.opening) + self.text + (end,) + (IGNORE,) * len(rest)

    def without(self, tokens: int) -> Piece:
        """This one without the first tokens of its text."""
        return Piece(self.opening, self.text[tokens:], self.closing, self.learnt)


class Layout(ABC):
    """How a family of backbones was taught to tell who speaks."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @abstractmethod
    def utterance(self, text: str, by_user: bool, learnt: bool) -> Piece:
        """The tokens of an utterance."""

    @abstractmethod
    def prompt(self, facts: Sequence[str], pieces: Sequence[Piece], replied: bool, dropped: tuple[str, ...]) -> Prompt:
        """All of it in order; the last piece is the reply if it is `replied`."""

    def length(self, facts: Sequence[str], pieces: Sequence[Piece], replied: bool) -> int:
        """How many tokens the prompt has."""
        return len(self.prompt(facts, pieces, replied, ()).ids)


class DialoGPT(Layout):
    """Facts first, every utterance closed by the separator."""

    def utterance(self, text: str, by_user: bool, learnt: bool) -> Piece:
        """Nothing tells who speaks."""
        return Piece((), tuple(self.tokenizer.encode(text)), (self.tokenizer.separator,), learnt)

    def prompt(self, facts: Sequence[str], pieces: Sequence[Piece], replied: bool, dropped: tuple[str, ...]) -> Prompt:
        """The separator before a reply is the first token that an adapter of replies acts on."""
        head = [*self.tokenizer.encode("\n".join(facts)), self.tokenizer.separator] if facts else []
        before = len(head) + sum(len(piece.ids) for piece in (pieces[:-1] if replied else pieces))
        return Prompt(
            ids=(*head, *(i for piece in pieces for i in piece.ids)),
            labels=(*[IGNORE] * len(head), *(i for piece in pieces for i in piece.labels)) if replied else (),
            dropped=dropped,
            reply=max(0, before - 1),
        )


class ChatML(Layout):
    """Messages by role; facts are one of the system directly before the reply."""

    def utterance(self, text: str, by_user: bool, learnt: bool) -> Piece:
        """A message of user or assistant."""
        return self._message("user" if by_user else "assistant", text, learnt)

    def prompt(self, facts: Sequence[str], pieces: Sequence[Piece], replied: bool, dropped: tuple[str, ...]) -> Prompt:
        """Facts are the first tokens that an adapter of replies acts on, or else what opens the reply.

        Nothing follows the end of the reply.
        """
        said = list(pieces[:-1] if replied else pieces)
        talk = sum(len(piece.ids) for piece in said)
        if facts:
            said.append(self._message("system", "\n".join(facts)))
        before = [i for piece in said for i in piece.ids]
        reply = pieces[-1] if replied else self._message("assistant", "")
        after = len(reply.opening) + len(reply.text) + replied  # of the closing the end alone
        labels = (*(i for piece in said for i in piece.labels), *reply.labels[:after]) if replied else ()
        return Prompt((*before, *reply.ids[:after]), labels, dropped, reply=talk)

    def _message(self, role: str, text: str, learnt: bool = False) -> Piece:
        start, end = self.tokenizer.start, self.tokenizer.end
        assert start is not None
        assert end is not None
        opening = (start, *self.tokenizer.encode(f"{role}\n"))
        return Piece(opening, tuple(self.tokenizer.encode(text)), (end, *self.tokenizer.encode("\n")), learnt)
