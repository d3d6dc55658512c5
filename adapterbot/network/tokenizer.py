"""A backbone's vocabulary: text to token ids and back."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, ByteLevelBPETokenizer
from tokenizers import Tokenizer as FastTokenizer

from adapterbot.errors import BackboneError
from adapterbot.home import read_whole

SEPARATOR = "<|endoftext|>"
START, END = "<|im_start|>", "<|im_end|>"  # ChatML: before and after each message
CLOSERS = (SEPARATOR, "<|eot_id|>", "<|end_of_text|>", "</s>")  # what closes an utterance in other vocabularies
LARGEST_TEMPLATE = 2**20  # bytes
IGNORE = -100  # label of a position without loss


class Tokenizer:
    """A backbone's vocabulary. Control tokens in a text are plain text: only who writes prompts places real ones.

    `separator` closes an utterance and ends a reply. `start` and `end` are the control tokens around a message where
    the vocabulary has ChatML's, and then `separator` is `end`. `template` is the model's own chat template (Jinja).
    """

    def __init__(self, fast: FastTokenizer, template: str | None = None) -> None:
        self.start, self.end = (fast.token_to_id(token) for token in (START, END))
        chatml = self.start is not None and self.end is not None
        closer = END if chatml else next((c for c in CLOSERS if fast.token_to_id(c) is not None), "")
        separator = fast.token_to_id(closer)
        if separator is None:
            raise BackboneError(f"the tokenizer has no token that closes an utterance, such as {' or '.join(CLOSERS)}")
        controls = [START, END] if chatml else [closer]
        fast.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in controls])
        fast.encode_special_tokens = True  # text is never parsed for special tokens
        self._fast = fast
        self.separator = separator
        self.separator_text = closer
        self.template = template

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read tokenizer.json, or GPT-2's vocab.json and merges.txt, and the chat template beside them.

        Raises:
            BackboneError: neither is there, or it cannot be read.
        """
        try:
            if (folder / "tokenizer.json").is_file():
                return cls(FastTokenizer.from_file(str(folder / "tokenizer.json")), _template(folder))
            if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
                fast = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
                fast.add_special_tokens([AddedToken(SEPARATOR, special=True)])
                return cls(FastTokenizer.from_str(fast.to_str()), _template(folder))
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

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; control tokens are left out."""
        text: str = self._fast.decode([i for i in ids if i != self.separator], skip_special_tokens=True)
        return text

    def is_byte(self, token: int) -> bool:
        """Whether `token` is a single byte (byte fallback): how it reads is open until its run of bytes has ended."""
        return re.fullmatch(r"<0x[0-9A-F]{2}>", self._fast.id_to_token(token) or "") is not None

    @property
    def size(self) -> int:
        """Number of tokens."""
        return int(self._fast.get_vocab_size())

    def to_json(self) -> str:
        """The content of tokenizer.json."""
        return json.dumps(json.loads(self._fast.to_str()), ensure_ascii=False)


def _template(folder: Path) -> str | None:
    """The chat template that lies beside a tokenizer, in a file of its own or in its settings; None without one."""
    with contextlib.suppress(OSError, ValueError):
        return read_whole(folder / "chat_template.jinja", LARGEST_TEMPLATE).decode()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        settings = json.loads(read_whole(folder / "tokenizer_config.json", LARGEST_TEMPLATE))
        found = settings.get("chat_template")
        return found if isinstance(found, str) else None
    return None
