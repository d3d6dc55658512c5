"""Where sentences end and begin."""

from __future__ import annotations

import re

# A sentence ends at . ! or ? before a capital or digit, but not after an initial or a title such as Dr.
NOT_AFTER = r"(?<!\b[A-Z]\.)(?<!\b(?:Dr|Mr|Ms|St|vs|No)\.)(?<!\bMrs\.)"
SENTENCE_END = re.compile(NOT_AFTER + r"""(?:(?<=[.!?])|(?<=[.!?]["']))\s+(?=["'A-Z0-9])""")
SPACED = re.compile(r"\s+([,.;:!?])")  # of text that was split into tokens
LIKELY_END = re.compile(r"""[.!?…]["'”’)\]]*\s+(?!\s)""")
SHORTENED = re.compile(r"(?:\b[^\W\d_]|\b(?:Dr|Mr|Ms|St|vs|No|Mrs|Prof|approx|ca|cf|e\.g|i\.e|etc|Fig|Vol))\.\s+\Z")


def split_sentences(text: str) -> list[str]:
    """The sentences of `text`. In time linear in the text, whatever is in it, and for letters of any language."""
    sentences = []
    start = 0
    for end in LIKELY_END.finditer(text):
        follows = text[end.end() : end.end() + 2].lstrip("\"'“‘(\x02")[:1]
        if not follows.islower() and not SHORTENED.search(text, max(start, end.start() - 8), end.end()):
            sentences.append(text[start : end.end()].rstrip())
            start = end.end()
    rest = text[start:].strip()
    return [*sentences, rest] if rest else sentences


def recase(text: str) -> str:
    """`text` with a capital at the start of each sentence and in the word I."""
    text = re.sub(r"(^|[.!?]\s+)([a-z])", lambda m: m[1] + m[2].upper(), text)
    return re.sub(r"\bi(?=\b|')", "I", text)


def detokenized(text: str) -> str:
    """`text` on one line, without the spaces before marks that tokenizing leaves."""
    return SPACED.sub(r"\1", " ".join(text.split()))
