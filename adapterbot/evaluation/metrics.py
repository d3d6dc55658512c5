"""How good is a text? Measures over replies and what they should have been; none of them needs a network.

Word F1 alone is a weak judge: one constant sentence does well on it, and so does reading out the facts. So `yardsticks`
scores both, and `relevance` and `distinct` are measures that neither can win.
"""

from __future__ import annotations

import importlib.util
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from adapterbot.errors import MissingPartError
from adapterbot.language.values import unsupported
from adapterbot.language.words import bag_f1, copied, word_f1, words

AMONG = 20  # conversations to choose from: by chance 1 of 20 is found
WORD = r"\w+|[^\w\s]+"
PIECES = (3, 5)  # characters, within words

CANDIDATES = 300  # references that are tried as the best constant reply
VARIED = 500  # replies that distinct-n is taken over at most: it falls with every further reply
RESAMPLES = 1000
INTERVALS = ("f1", "rouge_l", "relevance", "knowledge_f1", "unsupported")
LIBRARIES = (("sacrebleu", "sacrebleu", "BLEU"), ("sklearn", "scikit-learn", "relevance"))
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One reply, what it replies to (newest last) and what a person replied; `dialogue` is the dialogue's number."""

    dialogue: int
    facts: tuple[str, ...]
    utterances: tuple[str, ...]
    reference: str
    reply: str


def require_libraries() -> None:
    """Raises MissingPartError unless all libraries that the measures need are installed."""
    for module, name, measure in LIBRARIES:
        if importlib.util.find_spec(module) is None:
            raise _missing(measure, name)


def measures(predictions: Sequence[Prediction], *, grounded: bool, seed: int = 0) -> dict[str, float]:
    """The figures of some replies; those of INTERVALS with the ends of their 95 % interval, `<name>_low` and `_high`.

    F1, Rouge-L, BLEU and knowledge F1 (F1 of reply and facts) run from 0 to 100, all else from 0 to 1. What asks for
    facts is taken over the replies with facts (`f1_with_facts` is there when some have none), `unsupported` (the share
    with a number, name or time that stands neither in the facts nor in the conversation) over all of a grounded skill.
    The latter sees values as the check does that chooses replies: it is no proof of that check (see `grounding`).
    """
    replies = [s.reply for s in predictions]
    values = _by_reply(predictions, replies, grounded, seed)
    if 0 < len(values["knowledge_f1"]) < len(predictions):
        values["f1_with_facts"] = {i: values["f1"][i] for i in values["knowledge_f1"]}
    figures = {name: mean(of) for name, of in values.items() if of}
    for name in INTERVALS:
        ends = interval(values.get(name, {}), [s.dialogue for s in predictions], seed)
        figures |= dict(zip((f"{name}_low", f"{name}_high"), ends, strict=True)) if ends else {}
    length = sum(len(s.reference.split()) for s in predictions)
    return figures | {
        "bleu": bleu(replies, [s.reference for s in predictions]),
        "distinct_1": distinct(spread(replies, VARIED), 1),
        "distinct_2": distinct(spread(replies, VARIED), 2),
        "length_ratio": sum(len(reply.split()) for reply in replies) / max(1, length),
    }


def yardsticks(predictions: Sequence[Prediction], *, grounded: bool, seed: int = 0) -> dict[str, float]:
    """What the figures of `measures` are to be held against.

    `f1_constant`: the best single reply to everything; `f1_copied_facts`: the facts, joined, as the reply;
    `<name>_reference`: what people's own replies get.
    """
    references = [s.reference for s in predictions]
    people = _by_reply(predictions, references, grounded, seed)
    copied = [100 * word_f1(" ".join(s.facts), s.reference) for s in predictions if s.facts]
    return {
        "f1_constant": 100 * best_constant(references)[1],
        **({"f1_copied_facts": sum(copied) / len(copied)} if copied else {}),
        "distinct_2_reference": distinct(spread(references, VARIED), 2),
        **{
            f"{name}_reference": mean(people[name])
            for name in ("relevance", "knowledge_f1", "unsupported", "copied_4grams")
            if people.get(name)
        },
    }


def _by_reply(
    predictions: Sequence[Prediction], texts: Sequence[str], grounded: bool, seed: int
) -> dict[str, dict[int, float]]:
    """Measure -> number of the reply -> value, with `texts` as the replies."""
    told = {i: s.facts for i, s in enumerate(predictions) if s.facts}
    shares = {i: share for i, facts in told.items() if (share := copied(texts[i], facts)) is not None}
    values = {
        "f1": {i: 100 * word_f1(texts[i], s.reference) for i, s in enumerate(predictions)},
        "rouge_l": {i: 100 * rouge_l(texts[i], s.reference) for i, s in enumerate(predictions)},
        "relevance": first_of_twenty(
            texts, ["\n".join(s.utterances) for s in predictions], [s.dialogue for s in predictions], seed
        ),
        "knowledge_f1": {i: 100 * word_f1(texts[i], " ".join(facts)) for i, facts in told.items()},
        "copied_4grams": shares,
        "copied_over_half": {i: float(share > 0.5) for i, share in shares.items()},
    }
    if grounded:
        values["unsupported"] = {
            i: float(bool(unsupported(texts[i], s.facts, s.utterances))) for i, s in enumerate(predictions)
        }
    return values


def best_constant(references: Sequence[str], candidates: int = CANDIDATES) -> tuple[str, float]:
    """The reference that, as the reply to everything, has the highest mean F1, and that F1, 0 to 1.

    At most `candidates` of them are tried, at even distances. It knows what it is scored on: no honest constant is
    better by much.
    """
    bags = [Counter(words(reference)) for reference in references]
    tried = spread(list(dict(zip(references, bags, strict=True)).items()), candidates)
    scores = [sum(bag_f1(bag, theirs) for theirs in bags) / len(bags) for _, bag in tried]
    best = max(range(len(scores)), key=scores.__getitem__, default=None)
    return ("", 0.0) if best is None else (tried[best][0], scores[best])


def rouge_l(answer: str, reference: str) -> float:
    """F-measure of the longest common subsequence of words, 0 to 1 (Lin 2004, Rouge-L with equal weights)."""
    ours, theirs = (re.findall(r"\w+", text.lower()) for text in (answer, reference))
    row = [0] * (len(theirs) + 1)
    for word in ours:
        above = row
        row = [0]
        for j, other in enumerate(theirs):
            row.append(above[j] + 1 if word == other else max(above[j + 1], row[j]))
    return 2 * row[-1] / (len(ours) + len(theirs)) if row[-1] else 0.0


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams of all texts (Li et al. 2016)."""
    grams = [tuple(w[i : i + n]) for w in map(words, texts) for i in range(len(w) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def bleu(answers: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4 by sacrebleu, 0 to 100.

    Raises:
        MissingPartError: sacrebleu is not installed.
    """
    try:
        import sacrebleu
    except ImportError:
        raise _missing("BLEU", "sacrebleu") from None
    return float(sacrebleu.corpus_bleu(list(answers), [list(references)]).score)


def interval(values: Mapping[int, float], dialogues: Sequence[int], seed: int = 0) -> tuple[float, float] | None:
    """Ends of the 95 % interval of the mean by bootstrap; value i belongs to dialogue `dialogues[i]`.

    Whole dialogues are drawn, because replies of one dialogue depend on one another. None below two dialogues.
    """
    groups = {d: k for k, d in enumerate(dict.fromkeys(dialogues[i] for i in values))}
    if len(groups) < 2:
        return None
    sums = np.zeros(len(groups))
    counts = np.zeros(len(groups))
    for i, value in values.items():
        sums[groups[dialogues[i]]] += value
        counts[groups[dialogues[i]]] += 1
    drawn = np.random.default_rng(seed).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), RESAMPLES)
    low, high = np.quantile(drawn @ sums / (drawn @ counts), (0.025, 0.975))
    return float(low), float(high)


def mean(values: Mapping[int, float]) -> float:
    """Of the values; at least one."""
    return sum(values.values()) / len(values)


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, at even distances."""
    kept = min(most, len(items))
    return [items[i * len(items) // kept] for i in range(kept)]


def _missing(measure: str, name: str) -> MissingPartError:
    return MissingPartError(f"{measure} needs {name}: pip install 'adapterbot[train]'")


def first_of_twenty(
    replies: Sequence[str], conversations: Sequence[str], dialogues: Sequence[int], seed: int = 0
) -> dict[int, float]:
    """Number of the reply -> 1 when its own conversation is the most similar one of 20, else 0; ties share the 1.

    Replies are put by lot into groups of 20, no two of one dialogue; the conversations of a group are the 20. Each is
    thus right for one reply of its group, so that a constant reply gets exactly 1/20 on average. Replies that no group
    could be made of (fewer than 20 dialogues are left) have no value.

    Raises:
        MissingPartError: scikit-learn is not installed.
    """
    groups = in_groups(dialogues, seed)
    if not groups:
        return {}
    encoder = _encoder()
    known = encoder.fit_transform(conversations)  # [n, features], each row of a fixed length
    told = encoder.transform(replies)
    values: dict[int, float] = {}
    for group in groups:
        similar = (told[group] @ known[group].T).toarray().round(9)  # [20, 20]
        best = similar == similar.max(axis=1, keepdims=True)
        values |= {reply: float(best[k, k] / best[k].sum()) for k, reply in enumerate(group)}
    return values


def in_groups(dialogues: Sequence[int], seed: int) -> list[list[int]]:
    """As many groups as can be of 20 numbers i with different `dialogues[i]`, each number in one group at most."""
    draw = random.Random(seed)
    left: dict[int, list[int]] = defaultdict(list)
    for i in draw.sample(range(len(dialogues)), len(dialogues)):
        left[dialogues[i]].append(i)
    groups = []
    while len(left) >= AMONG:
        order = draw.sample(list(left), len(left))
        fullest = sorted(order, key=lambda d: -len(left[d]))[:AMONG]  # the most that can be, whatever the lengths
        groups.append([left[d].pop() for d in fullest])
        left = {d: waiting for d, waiting in left.items() if waiting}
    return groups


def _encoder() -> Any:
    """Words and pieces of words, one half each; rows of conversations all have the same length, as cosines need."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion
    except ImportError:
        raise MissingPartError("relevance needs scikit-learn: pip install 'adapterbot[train]'") from None
    return FeatureUnion(
        [
            ("words", TfidfVectorizer(token_pattern=WORD, sublinear_tf=True)),
            ("pieces", TfidfVectorizer(analyzer="char_wb", ngram_range=PIECES, sublinear_tf=True)),
        ]
    )
