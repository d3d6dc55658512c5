"""4 · Facts and history to token ids and labels: the same function for training, evaluation and chat.

Layout (Madotto et al. 2020, section 3.1):  facts joined by newlines <sep> utterance <sep> utterance <sep> ...
The reply follows and is closed by the separator too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, ByteLevelBPETokenizer
from tokenizers import Tokenizer as FastTokenizer

from adapterbot.errors import BackboneError
from adapterbot.turn import Prompt

SEPARATOR = "<|endoftext|>"
IGNORE = -100  # label of a position without loss
EVERYDAY = 2  # pieces of a word of everyday language at most
STARTS = " ▁Ġ"  # how vocabularies write the space before a word


class Tokenizer:
    """A backbone's vocabulary. Separators in a text are plain text: only `encode` in this module places real ones."""

    def __init__(self, fast: FastTokenizer) -> None:
        separator = fast.token_to_id(SEPARATOR)
        if separator is None:
            raise BackboneError(f"the tokenizer has no {SEPARATOR} token, which closes every utterance")
        fast.encode_special_tokens = True  # text is never parsed for special tokens
        self._fast, self.separator = fast, separator

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read tokenizer.json, or GPT-2's vocab.json and merges.txt.

        Raises:
            BackboneError: neither is there, or it cannot be read.
        """
        try:
            if (folder / "tokenizer.json").is_file():
                return cls(FastTokenizer.from_file(str(folder / "tokenizer.json")))
            if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
                fast = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
                fast.add_special_tokens([AddedToken(SEPARATOR, special=True)])
                return cls(FastTokenizer.from_str(fast.to_str()))
        except BackboneError:
            raise
        except Exception as error:  # the Rust library raises bare Exceptions
            raise BackboneError(f"{folder}: the tokenizer cannot be read: {error}") from None
        raise BackboneError(f"{folder} has neither tokenizer.json nor vocab.json with merges.txt")

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without any separator. A lone surrogate, which is no character, becomes "?"."""
        text = text.encode("utf-8", "replace").decode()
        ids: list[int] = self._fast.encode(text, add_special_tokens=False).ids
        return ids

    def everyday(self, word: str, pieces: int = EVERYDAY) -> bool:
        """Whether a word in lower case is common enough for the vocabulary to write it in so few pieces."""
        return len(self.encode(f"the {word}")) - len(self.encode("the")) <= pieces

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; separators are left out."""
        text: str = self._fast.decode([i for i in ids if i != self.separator], skip_special_tokens=True)
        return text

    def is_byte(self, token: int) -> bool:
        """Whether `token` is a single byte (byte fallback): how it reads is open until its run of bytes has ended."""
        return re.fullmatch(r"<0x[0-9A-F]{2}>", self._fast.id_to_token(token) or "") is not None

    def capitals(self) -> list[int]:
        """For each token that starts a word the one that starts it with a capital; itself for any other token."""
        known: dict[str, int] = self._fast.get_vocab()
        made = list(range(self.size))
        for token, i in known.items():
            if token[0] in STARTS and token[1:].islower():
                made[i] = known.get(token[0] + token[1:].capitalize(), i)
        return made

    @property
    def size(self) -> int:
        """Number of tokens."""
        return int(self._fast.get_vocab_size())

    def to_json(self) -> str:
        """The content of tokenizer.json."""
        return json.dumps(json.loads(self._fast.to_str()), ensure_ascii=False)


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
    learn, kept_facts, dropped = set(learn), list(facts), []
    room = positions - reserve
    pieces = [[*tokenizer.encode(text), tokenizer.separator] for text in utterances]
    wanted = [i in learn for i in range(len(pieces))]
    keep = min(2 if learn else 1, len(pieces))
    head = _facts(tokenizer, kept_facts)
    while len(pieces) > keep and _length(head, pieces) > room:
        dropped.append(f"utterance: {utterances[len(utterances) - len(pieces)]}")
        pieces, wanted = pieces[1:], wanted[1:]
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
