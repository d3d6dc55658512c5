"""How well does the judge tell entailed, contradicted and neither apart? On labelled pairs, by set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from adapterbot.evaluation.tables import Grid
from adapterbot.manager.judge import Judge
from adapterbot.manager.training.entailment import Figures, entailment_figures
from adapterbot.manager.training.pairs import read_pairs

NOTE = (
    "Validation pairs. accuracy and macro-F1 of the likeliest of the labels that a set tells apart; majority: accuracy "
    "of its commonest label for every pair. said: pairs that the judge is sure are entailed or contradicted; right: of "
    "these. Temperature and the two thresholds were chosen on pairs of these sets."
)
WIDEST = 20


def evaluate_entailment(judge: Judge, folder: Path, advance: Callable[[int, int], None]) -> Figures:
    """The figures of `entailment_figures` on the validation pairs of each set in `folder`.

    Raises:
        DataError: there are none, or the first bad line as file:line.
    """
    sets = read_pairs(folder, "valid")
    total = sum(map(len, sets.values()))
    return entailment_figures(judge, sets, lambda done: advance(done, total))


def entailment_grid(figures: Mapping[str, Mapping[str, float]]) -> Grid:
    """What `evaluate_entailment` found as a table."""
    rows = tuple(
        (
            name,
            f"{of['pairs']:.0f}",
            *(f"{of['accuracy']:.1%}", f"{of['macro_f1']:.3f}", f"{of['majority']:.1%}"),
            *(f"{of['said']:.0%}", f"{of['right']:.0%}"),
        )
        for name, of in figures.items()
    )
    head = ("set", "pairs", "accuracy", "macro-F1", "majority", "said", "right")
    return Grid("Entailment", NOTE, head, rows, widest=WIDEST)
