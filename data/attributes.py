"""Attributes of a text (its emotion, its sentiment, its topic, whether it asks) and the labelled texts they come from.

The rank heads learn from these texts, and the style skills' dialogues are selected by a naive Bayes classifier on them.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from adapterbot.data.dialogue import objects, read_dialogues
from adapterbot.errors import DataError

NEGATIVE = ("anger", "sadness", "disgust", "fear")
FEELING = {"joy": "positive", "neutral": "neutral", **dict.fromkeys(NEGATIVE, "negative")}
# Anger by GoEmotions' finer names: the coarse one counts disapproval in, which is calm ("I don't think so").
ANGER = {"anger": "anger", "annoyance": "anger"}
TOPICS = {"business": "business", "sports": "sport", "sci/tech": "sci_tech", "world": "other", "neutral": "other"}
BALL_GAMES = dict.fromkeys(("nfl football", "baseball", "basketball", "icehockey"), "sport")
OTHER_TALK = dict.fromkeys(("music", "movies", "disney", "fashion", "rock", "comedy"), "other")
LIFE = {"Finance": "business", **dict.fromkeys(("Ordinary Life", "Tourism", "Health", "Relationship"), "other")}
CHATS = ("dailydialog", "selfdialogue")  # whose turns have the label of their act and their dialogue's domain
TECHNICAL = "names technology"  # is the domain of a chat's turn that has one of these words: no dialogue has such a one
TECHNICAL_WORDS = re.compile(
    r"\b(computers?|laptops?|software|internet|web ?sites?|e-?mails?|(smart|i|mobile |cell ?)phones?|robots?|digital"
    r"|technolog(y|ies|ical)|electronics?|scien(ce|tific|tists?)|physics|chemistry|biology|astronom\w+|planets?"
    r"|satellites?|spaceships?|telescopes?|rockets?|genetic\w*|inventions?|invented|engineer(s|ing)?|universe|species"
    r"|program(mers?|ming)|hard (drive|disk)s?)\b",
    re.IGNORECASE,
)
# attribute -> its labels; a skill's `rerank = "emotion:joy"` names one of each
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "emotion": ("sadness", "joy", "anger", "fear", "surprise", "neutral"),
    "sentiment": ("positive", "negative", "neutral"),
    "topic": ("business", "sport", "sci_tech", "other"),
    "question": ("question", "statement"),
}
# attribute -> folders of labelled texts, and what their labels are called here
SOURCES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "emotion": {
        "goemotions_ekman": {label: label for label in ATTRIBUTES["emotion"] if label != "anger"},
        "goemotions": ANGER,
    },
    "sentiment": {"sst2": {"positive": "positive", "negative": "negative"}, "goemotions_ekman": FEELING},
    "topic": {
        "agnews": TOPICS,
        "goemotions_ekman": {"neutral": "other"},
        "selfdialogue": BALL_GAMES | OTHER_TALK | {TECHNICAL: "sci_tech"},
        "dailydialog": LIFE | {TECHNICAL: "sci_tech"},
    },
    "question": {"dailydialog": {"question": "question", "inform": "statement", "commissive": "statement"}},
}
# (labelled texts, a label, texts) -> how clearly each of the texts has the label, by what was learnt from the first
Rate = Callable[[Sequence[tuple[str, str]], str, Sequence[str]], list[float]]
FOLDERS = tuple(sorted({folder for folders in SOURCES.values() for folder in folders}))


def labelled(attribute: str, folder: Path, part: str = "train") -> list[tuple[str, str]]:
    """(text, label) pairs of an attribute from a corpora folder, texts with several labels left out.

    Raises:
        DataError: a corpus is missing, or a line is bad.
    """
    found = []
    for corpus, names in SOURCES[attribute].items():
        path = next((p for s in (".jsonl.gz", ".jsonl") if (p := folder / corpus / f"{part}{s}").is_file()), None)
        if path is None:
            raise DataError(f"no corpus {corpus!r} in {folder}; the attribute {attribute!r} is learnt from it")
        found += [(text, names[label]) for text, label in _pairs(path) if label in names]
    return found


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """(text, label) of labelled texts, or of the turns of dialogues by their act and by the domain or TECHNICAL."""
    if path.parent.name in CHATS:
        for dialogue in read_dialogues(path):
            for turn in dialogue.turns:
                domain = TECHNICAL if TECHNICAL_WORDS.search(turn.text) else dialogue.domain
                yield from ((turn.text, label) for label in (turn.label.rpartition("/")[2], domain))
        return
    for number, item in objects(path):
        if not isinstance(item, dict) or not isinstance(item.get("text"), str):
            raise DataError(f'{path}:{number}: not {{"text", "label"}}')
        yield item["text"], str(item.get("label") or "")


def balanced(pairs: Sequence[tuple[str, str]], most: int, seed: str) -> list[tuple[str, str]]:
    """At most `most` pairs, all labels alike as far as they go, in random order."""
    by_label = defaultdict(list)
    for pair in pairs:
        by_label[pair[1]].append(pair)
    draw = random.Random(seed)
    each = most // max(1, len(by_label))
    chosen = [p for group in by_label.values() for p in draw.sample(group, min(each, len(group)))]
    draw.shuffle(chosen)
    return chosen


class Bayes:
    """Multinomial naive Bayes over words and word pairs, all labels equally likely beforehand."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for text, label in pairs:
            counts[label].update(set(features(text)))
        vocabulary = {f for c in counts.values() for f, n in c.items() if n > 1}
        totals = {label: sum(c.values()) + len(vocabulary) for label, c in counts.items()}
        self._log = {
            label: {f: math.log((c[f] + 1) / totals[label]) for f in vocabulary} for label, c in counts.items()
        }

    def margin(self, text: str, label: str) -> float:
        """How much better `label` explains the text than the best other label does, in nats per root of its length."""
        known = [f for f in set(features(text)) if f in self._log[label]]
        # fsum: texts with the same known features score alike, whatever order their sets come in
        scores = {name: math.fsum(map(table.__getitem__, known)) for name, table in self._log.items()}
        other = max(score for name, score in scores.items() if name != label)
        return (scores[label] - other) / math.sqrt(1 + len(known))


def features(text: str) -> list[str]:
    """Words, word pairs, and the marks that carry feeling."""
    words = re.findall(r"[a-z']+|[!?]+", text.lower())
    return words + [f"{a} {b}" for a, b in pairwise(words)]
