"""Replies that carry a style, each with the two utterances before it, selected from public dialogues.

A naive Bayes classifier (`data.attributes`) scores every reply; of those that carry the style of `domain` most clearly
(of a topic, those that bring it up when the utterance before did not) the caller's classifier, which may know more than
words, takes the best. A reply carries the style `question` when it ends with a question mark and has only that one
sentence or two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from adapterbot.data import attributes
from adapterbot.data.attributes import Rate
from adapterbot.data.corpora import Splits, load_path
from adapterbot.data.dialogue import Dialogue, DialogueTurn
from adapterbot.errors import DataError

DIALOGUES = ("dailydialog", "dream", "mutual", "ed", "topicalchat", "selfdialogue", "persona")
FOLDERS = tuple(dict.fromkeys((*DIALOGUES, *attributes.FOLDERS)))
HUB = None
LICENCE = "those of the dialogues, several non-commercial (CC BY-NC)"
MOST = {"train": 800, "valid": 150}  # replies of a style
TEXTS = 30_000  # labelled ones that naive Bayes learns from
RATED = 8_000  # and that `rate` learns from
WIDE = 4  # times as many replies are found by naive Bayes as are kept
WORDS = range(4, 31)  # of a reply
SHARE = 0.4  # of the replies at most come from one corpus
PER_CORPUS = {"train": 60_000, "valid": 6_000}  # replies that are looked at
ATTRIBUTE = {name: a for a in ("emotion", "sentiment", "topic") for name in attributes.ATTRIBUTES[a]}  # of a style
Scored = tuple[float, Dialogue]


def read(folder: Path, domain: str, rate: Rate | None = None) -> Splits:
    """The dialogues of one style, the clearest first; those to train on by `rate`, where it is given.

    Raises:
        DataError: no such style, or one of the corpora is missing.
    """
    if domain != "question" and domain not in ATTRIBUTE:
        raise DataError(f"no style {domain!r}; there are: {', '.join(sorted([*ATTRIBUTE, 'question']))}")
    there = [name for name in DIALOGUES if (folder / name).is_dir()]
    if not there:
        raise DataError(f"{folder} has none of the corpora that styles are selected from: {', '.join(DIALOGUES)}")
    pairs = attributes.labelled(ATTRIBUTE[domain], folder) if domain != "question" else []
    judge = attributes.Bayes(attributes.balanced(pairs, TEXTS, domain)) if pairs else None
    corpora = {name: load_path(folder / name) for name in there}
    found = {part: _clearest(corpora, part, domain, judge) for part in ("train", "valid")}
    if rate and pairs:
        texts = [dialogue.turns[-1].text for _, dialogue in found["train"]]
        scores = rate(attributes.balanced(pairs, RATED, domain), domain, texts)
        rated = [(score, dialogue) for score, (_, dialogue) in zip(scores, found["train"], strict=True)]
        found["train"] = sorted(rated, key=lambda pair: -pair[0])
    return {part: _capped(scored, MOST[part]) for part, scored in found.items()}


def _clearest(corpora: dict[str, Splits], part: str, domain: str, judge: attributes.Bayes | None) -> list[Scored]:
    """WIDE times as many as are needed."""
    found: list[Scored] = []
    for name, splits in corpora.items():
        scored = sorted(_scored(name, splits[part], part, domain, judge), key=lambda pair: -pair[0])
        found += scored[: round(WIDE * SHARE * MOST[part])]
    return sorted(found, key=lambda pair: -pair[0])[: WIDE * MOST[part]]


def _capped(scored: list[Scored], most: int) -> list[Dialogue]:
    """The first `most`, of which no corpus gives more than its SHARE."""
    given: Counter[str] = Counter()
    kept = list[Dialogue]()
    for _, dialogue in scored:
        corpus = dialogue.id.partition("-")[0]
        if given[corpus] < round(SHARE * most) and len(kept) < most:
            given[corpus] += 1
            kept.append(dialogue)
    return kept


def _scored(
    corpus: str, dialogues: list[Dialogue], part: str, domain: str, judge: attributes.Bayes | None
) -> Iterator[Scored]:
    """Each reply with what comes before it, as a dialogue of its own, and how clearly it carries the style."""
    seen: set[str] = set()
    looked = 0
    for dialogue in dialogues:
        for i in range(1, len(dialogue.turns)):
            text = dialogue.turns[i].text
            if len(text.split()) not in WORDS or text.lower() in seen:
                continue
            seen.add(text.lower())
            looked += 1
            score = judge.margin(text, domain) if judge else _asks(text)
            if score > 0 and judge and ATTRIBUTE[domain] == "topic":  # what is wanted is to turn the talk to it
                score -= max(0.0, judge.margin(dialogue.turns[i - 1].text, domain))
            if score > 0:
                yield score, _cut(corpus, dialogue, i, domain)
        if looked >= PER_CORPUS[part]:
            return


def _asks(text: str) -> float:
    """A short question scores higher than a long text that ends with one."""
    return 1 / len(text.split()) if re.fullmatch(r"[^?]*\?", text) and text.count(".") <= 1 else 0.0


def _cut(corpus: str, dialogue: Dialogue, index: int, domain: str) -> Dialogue:
    """At most two utterances and the reply, which the system says."""
    texts = [t.text for t in dialogue.turns[max(0, index - 2) : index + 1]]
    speakers = ("system", "user", "system")[-len(texts) :]
    turns = tuple(DialogueTurn(speaker, text) for speaker, text in zip(speakers, texts, strict=True))
    return Dialogue(f"{corpus}-{dialogue.id}-{index}", turns, domain=domain)
