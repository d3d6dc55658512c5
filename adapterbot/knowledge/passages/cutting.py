"""3 · Texts cut at sentence ends: into passages of eighty words at most, and the sentence or two for the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from adapterbot.language.sentences import SENTENCE_END, split_sentences

# of what the model is given
MAX_WORDS = 40
MAX_SENTENCES = 2
PASSAGE_WORDS = 80
WORD_LENGTH = 200  # characters; what goes on for longer is cut, so that a passage has a bound

PIECE = re.compile(rf"\S{{1,{WORD_LENGTH}}}")


def opening(text: str) -> str:
    """The first sentence or two of `text`, at most `MAX_WORDS` words."""
    sentences = SENTENCE_END.split(text)
    chosen = sentences[0]
    for sentence in sentences[1:MAX_SENTENCES]:
        if len(chosen.split()) + len(sentence.split()) <= MAX_WORDS:
            chosen = f"{chosen} {sentence}"
    words = chosen.split()
    return chosen if len(words) <= MAX_WORDS else " ".join(words[:MAX_WORDS]) + " …"


def excerpt(marked: str, mark: str, unmark: str) -> str:
    """As `opening`, from the sentence with most different marked words on; `mark` stands before each, `unmark` after.

    The first of equals wins, so a text without marks gives its opening.
    """
    sentences = split_sentences(marked)
    hit = re.compile(f"{re.escape(mark)}([^{re.escape(unmark)}]*)")
    counts = [len({word.lower() for word in hit.findall(sentence)}) for sentence in sentences]
    start = counts.index(max(counts, default=0)) if counts else 0
    return opening(" ".join(sentences[start:]).replace(mark, "").replace(unmark, ""))


def cut(paragraphs: Iterable[str]) -> Iterator[str]:
    """Passages of at most `PASSAGE_WORDS` words. They end at a sentence's end, half-full ones at a paragraph's too."""
    words: list[str] = []
    for paragraph in paragraphs:
        for sentence in split_sentences(paragraph):
            added = PIECE.findall(sentence)
            if words and len(words) + len(added) > PASSAGE_WORDS:
                yield " ".join(words)
                words = []
            words += added
            while len(words) > PASSAGE_WORDS:  # one sentence that is longer than a passage
                yield " ".join(words[:PASSAGE_WORDS])
                words = words[PASSAGE_WORDS:]
        if len(words) * 2 >= PASSAGE_WORDS:
            yield " ".join(words)
            words = []
    if words:
        yield " ".join(words)
