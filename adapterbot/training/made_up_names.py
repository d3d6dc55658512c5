"""Made-up names and numbers in place of real ones, so that a model has to copy them from the facts."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

ONSETS: tuple[str, ...] = (
    "b",
    "br",
    "c",
    "cl",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pr",
)
ONSETS += ("qu", "r", "s", "sh", "sl", "st", "t", "th", "tr", "v", "w", "y", "z")
VOWELS = ("a", "a", "e", "e", "i", "i", "o", "o", "u", "ai", "ea", "ee", "ia", "io", "oa", "ou")
JOINTS = ("", "", "", "l", "n", "r")
CODAS = ("", "", "", "l", "ll", "m", "n", "nd", "nt", "r", "rd", "rn", "s", "sk", "ss", "st", "t", "th", "x")
WORD = re.compile(r"\d+|[^\W\d_]+(?:['’-][^\W\d_]+)*")
RUN = re.compile(r"\d+|[^\W\d_]+")  # a word has several where marks stand inside: O'Brien, Jean-Luc, Quellmar's
SHORT = 2  # letters of a run that stays as it is: the O of O'Brien, a possessive s
SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|\n)$")


def made_up_word(draw: random.Random) -> str:
    """A pronounceable lower-case word of one to three syllables."""
    syllables = draw.choice((1, 2, 2, 2, 3))
    middle = "".join(draw.choice(ONSETS) + draw.choice(VOWELS) + draw.choice(JOINTS) for _ in range(syllables - 1))
    return middle + draw.choice(ONSETS) + draw.choice(VOWELS) + draw.choice(CODAS)


def with_made_up_names(
    facts: Sequence[str],
    utterances: Sequence[str],
    replies: Iterable[int],
    is_common: Callable[[str], bool],
    draw: random.Random,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Facts and utterances in which what the replies (their indexes) took from the facts has become made-up.

    Names, rare words and numbers that stand in both are replaced, everywhere alike: whoever has learnt such a
    document by heart is wrong, whoever looks into the facts is right. `is_common` says of a lower-case word that it
    belongs to everyday language.
    """
    known = {word.lower() for fact in facts for word in WORD.findall(fact)}
    new: dict[str, list[str]] = {}  # for each run of a word what comes in its place; "" keeps it
    for match in (m for i in replies for m in WORD.finditer(utterances[i])):
        word = match[0].lower()
        if word in known and word not in new and _is_name(match, is_common):
            new[word] = [_made_up(run, draw) for run in RUN.findall(match[0])]
    if not new:
        return tuple(facts), tuple(utterances)

    def replaced(match: re.Match[str]) -> str:
        names = iter(new.get(match[0].lower(), ()))
        return RUN.sub(lambda run: _cased(next(names, ""), run[0]) or run[0], match[0])

    return tuple(WORD.sub(replaced, f) for f in facts), tuple(WORD.sub(replaced, u) for u in utterances)


def _is_name(match: re.Match[str], is_common: Callable[[str], bool]) -> bool:
    word = match[0]
    if word.isdigit():
        return True
    if len(word) < 3:
        return False
    inside = not SENTENCE_START.search(match.string[: match.start()])
    return (word[0].isupper() and inside) or not is_common(word.lower())


def _made_up(run: str, draw: random.Random) -> str:
    if run.isdigit():
        return _number(run, draw)
    return made_up_word(draw) if len(run) > SHORT else ""


def _cased(name: str, old: str) -> str:
    """`name` in the case of `old`."""
    if old.islower():
        return name
    return name.upper() if old.isupper() and len(old) > 1 else name[:1].upper() + name[1:]


def _number(digits: str, draw: random.Random) -> str:
    first = str(draw.randint(1, 9)) if len(digits) > 1 or digits != "0" else "0"
    return first + "".join(str(draw.randint(0, 9)) for _ in digits[1:])


def everyday_words(texts: Iterable[str], least: int) -> Callable[[str], bool]:
    """Whether a lower-case word stands at least `least` times in the texts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(WORD.findall(text.lower()))
    return frozenset(word for word, count in counts.items() if count >= least).__contains__
