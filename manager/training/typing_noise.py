"""2 · Other people's typing: the same message with other casing, punctuation, length or a slip of the finger.

Every corpus has habits that give it away (lower case only, a space before the full stop, three sentences per turn).
A manager that learns them is wrong on everything that a real user types, so training sees each text in a random style.
"""

from __future__ import annotations

import random
import re
import string

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
SHORTHAND = {
    "you": "u",
    "are": "r",
    "your": "ur",
    "please": "pls",
    "tomorrow": "tmrw",
    "thanks": "thx",
    "because": "bc",
}
SHORTHAND |= {"what's": "whats", "i'm": "im", "don't": "dont", "can't": "cant", "how's": "hows", "it's": "its"}


def restyle(text: str, rng: random.Random) -> str:
    """`text` as somebody else might have typed it; never empty when `text` is not."""
    text = text.replace(" .", ".").replace(" ?", "?").replace(" ,", ",").replace(" !", "!")
    if rng.random() < 0.25:
        text = first_sentence(text)
    text = _punctuated(text, rng)
    if rng.random() < 0.15:
        text = " ".join(SHORTHAND.get(word.lower(), word) for word in text.split())
    if rng.random() < 0.15:
        text = with_typo(text, rng)
    return _cased(text, rng)


def first_sentence(text: str) -> str:
    """The first sentence of three words or more with what stands before it, so that "Hi!" is not all that is left."""
    parts = SENTENCE_END.split(text.strip())
    for end in range(1, len(parts) + 1):
        if len(parts[end - 1].split()) >= 3:
            return " ".join(parts[:end])
    return text


def with_typo(text: str, rng: random.Random) -> str:
    """Two neighbouring letters swapped, one doubled, left out or hit beside."""
    letters = [i for i, c in enumerate(text) if c.isalpha()]
    if len(letters) < 8:
        return text
    at = rng.choice(letters[1:-1])
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    middle = (text[at] * 2, "", rng.choice(string.ascii_lowercase))[kind - 1]
    return text[:at] + middle + text[at + 1 :]


def _punctuated(text: str, rng: random.Random) -> str:
    choice = rng.random()
    if choice < 0.35:
        return text.rstrip(".!? ") or text
    if choice < 0.45:
        return "".join(c for c in text if c not in ".,!?;:'\"").strip() or text
    if choice < 0.55 and text[-1:].isalnum():
        return text + rng.choice([".", "!", "...", " :)"])
    return text


def _cased(text: str, rng: random.Random) -> str:
    choice = rng.random()
    if choice < 0.35:
        return text.lower()
    if choice < 0.4:
        return text.upper()
    if choice < 0.75:
        return text[:1].upper() + text[1:]
    return text
