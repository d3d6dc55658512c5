"""4 · Facts and history to token ids and labels: the same function for training, evaluation and chat.

Layout (Madotto et al. 2020, section 3.1):  facts joined by newlines <sep> utterance <sep> utterance <sep> ...
The reply follows and is closed by the separator too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    kept_facts = list(facts)
    dropped = []
    room = positions - reserve
    pieces = [[*tokenizer.encode(text), tokenizer.separator] for text in utterances]
    wanted = [i in learn for i in range(len(pieces))]
    keep = min(2 if learn else 1, len(pieces))
    head = _facts(tokenizer, kept_facts)
    while len(pieces) > keep and _length(head, pieces) > room:
        dropped.append(f"utterance: {utterances[len(utterances) - len(pieces)]}")
        pieces = pieces[1:]
        wanted = wanted[1:]
    while kept_facts and _length(head, pieces) > room:
        dropped.append(f"fact: {kept_facts.pop()}")
        head = _facts(tokenizer, kept_facts)
    over = _length(head, pieces) - room
    if over > 0 and pieces:
        newest = pieces[-keep]
        dropped.append(f"the first {over} tokens of the newest user turn")
        pieces[-keep] = newest[min(over, len(newest) - 1) :]
    ids = [*head, *(i for piece in pieces for i in piece)]
    labels = [IGNORE] * len(head) if learn else []
    if learn:
        labels += [i if use else IGNORE for piece, use in zip(pieces, wanted, strict=True) for i in piece]
    return Prompt(tuple(ids), tuple(labels), tuple(dropped), max(0, len(head) - 1))


def _facts(tokenizer: Tokenizer, facts: Sequence[str]) -> list[int]:
    return [*tokenizer.encode("\n".join(facts)), tokenizer.separator] if facts else []


def _length(head: list[int], pieces: list[list[int]]) -> int:
    return len(head) + sum(map(len, pieces))
