"""2 · How well the judge tells entailed, contradicted and neither apart, on labelled pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from adapterbot.manager.judge import CONTRADICTS, ENTAILS, LABELS, Judge, Judgement
from adapterbot.manager.training.pairs import Pair, alternatives

Figures = dict[str, dict[str, float]]


def entailment_figures(
    judge: Judge, sets: Mapping[str, Sequence[Pair]], told: Callable[[int], None] = lambda done: None
) -> Figures:
    """By set: `pairs`; `accuracy` and `macro_f1` of the likeliest of what the set tells apart; `majority`, the share
    of its commonest label; `said`, the share of pairs of which the judge is sure that they are entailed or
    contradicted, and `right`, the share of these where that may hold. `told` hears of each set's pairs when done."""
    report: Figures = {}
    for name, pairs in sets.items():
        judged = judge.judge([(pair.premise, pair.statement) for pair in pairs])
        report[name] = _figures(judge, pairs, judged)
        told(len(pairs))
    return report


def _figures(judge: Judge, pairs: Sequence[Pair], judged: Sequence[Judgement]) -> dict[str, float]:
    groups = alternatives(pairs)
    wanted = [next(i for i, group in enumerate(groups) if set(pair.labels) <= set(group)) for pair in pairs]
    found = [
        max(range(len(groups)), key=lambda i: sum(one[LABELS.index(label)] for label in groups[i])) for one in judged
    ]
    words = [judge.label(one) for one in judged]
    said = [word in pair.labels for word, pair in zip(words, pairs, strict=True) if word in (ENTAILS, CONTRADICTS)]
    return {
        "pairs": float(len(pairs)),
        "accuracy": sum(a == b for a, b in zip(wanted, found, strict=True)) / len(pairs),
        "macro_f1": _macro_f1(wanted, found, len(groups)),
        "majority": max(Counter(wanted).values()) / len(pairs),
        "said": len(said) / len(pairs),
        "right": sum(said) / max(1, len(said)),
    }


def _macro_f1(wanted: Sequence[int], found: Sequence[int], classes: int) -> float:
    """The mean over the classes of the F1 of each."""
    pairs = Counter(zip(wanted, found, strict=True))
    scores = []
    for one in range(classes):
        right = pairs[one, one]
        both = sum(n for (a, b), n in pairs.items() if a == one) + sum(n for (a, b), n in pairs.items() if b == one)
        scores.append(2 * right / both if both else 0.0)
    return sum(scores) / classes
