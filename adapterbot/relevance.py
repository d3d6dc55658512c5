"""Does a reply belong to its conversation? An encoder that is no part of the product has to find it among 20.

The encoder knows words and pieces of words alone (TF-IDF, fitted on the conversations at hand). What chooses among
drafts is another one (`manager.ranker`), so nothing here was tuned for the measure.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from adapterbot.errors import MissingPartError

AMONG = 20  # conversations to choose from: by chance 1 of 20 is found
WORD = r"\w+|[^\w\s]+"
PIECES = (3, 5)  # characters, within words


def found(
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
