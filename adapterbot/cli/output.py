"""The one place where the command line prints: what users and files bring reaches no terminal raw."""

from __future__ import annotations

import json
import re
import sys
from typing import Any, TextIO

# What makes a terminal do something, or a line read otherwise than it is written: control characters but line ends and
# tabs, line separators, bidirectional embeddings, overrides and isolates; and lone surrogates, which cannot be encoded.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""`text` with every character that a terminal would obey written out, such as \x1b."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def say(text: object = "") -> None:
    """Print a line to standard output."""
    _write(sys.stdout, printable(str(text)))


def warn(text: object) -> None:
    """Print to standard error, as one line."""
    _write(sys.stderr, printable(str(text)).replace("\n", "\\n"))


def json_text(value: object, indent: int | None = 2) -> str:
    """`value` as JSON, over several lines unless `indent` is None; what is unprintable is escaped as JSON has it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say_json(value: Any, indent: int | None = 2) -> None:
    """Print a value as JSON; on one line with an `indent` of None."""
    _write(sys.stdout, json_text(value, indent))


def _write(stream: TextIO, text: str) -> None:
    """A line; characters that the stream's encoding lacks are written out."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
