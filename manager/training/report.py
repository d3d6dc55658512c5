"""2 · How good a manager is: accuracy, macro-F1, calibration error and confusions; JSON, a picture and a card."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adapterbot.errors import DataError, MissingPartError
from adapterbot.history import History
from adapterbot.home import written_by_rename
from adapterbot.manager.classifier import Classifier, Settings, decide
from adapterbot.manager.training.card import card
from adapterbot.manager.training.mixtures import Mixture
from adapterbot.spec.tables import FALLBACK

if TYPE_CHECKING:
    from adapterbot.manager.router import Manager

BINS = 15


def require_libraries() -> None:
    """Raises MissingPartError unless scikit-learn and matplotlib are installed."""
    for module, name in (("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")):
        if importlib.util.find_spec(module) is None:
            raise MissingPartError(f"training the manager needs {name}: pip install 'adapterbot[train]'")


def measure(classifier: Classifier, valid: Mixture, seed: int) -> dict[str, Any]:
    """The report over the validation examples; empty figures when there are none.

    Those that stand alone follow anybody's exchange; `accuracy_of["own dialogues"]` leaves the corpora's as they are.
    """
    settings = classifier.settings
    features, labels = valid.fixed(seed)

    def scored(rows: Tensor) -> tuple[Tensor, Tensor]:
        scores = classifier.probabilities(rows) if len(labels) else torch.empty(0, len(settings.classes))
        return scores, decide(scores, settings.threshold, settings.margin, settings.classes.index(FALLBACK))

    scores, chosen = scored(features)
    in_place = scored(valid.features(valid.message, valid.history))[1]
    report = summarise([settings.classes[i] for i in labels], [settings.classes[i] for i in chosen], settings.classes)
    by_group = {"written by hand": valid.trusted, "corpora": ~valid.trusted, "follow-ups": ~valid.alone}
    report["accuracy_of"] = {n: _share((chosen == labels)[group]) for n, group in by_group.items()}
    report["accuracy_of"]["own dialogues"] = _share((in_place == labels)[~valid.trusted])
    return report | {"calibration_error": calibration_error(scores, labels), **_knobs(settings)}


def calibration_error(scores: Tensor, labels: Tensor) -> float:
    """Expected calibration error over 15 equal bins of confidence (Guo et al. 2017, arXiv 1706.04599)."""
    if len(labels) == 0:
        return 0.0
    confidence, chosen = scores.max(dim=-1)
    right = (chosen == labels).float()
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    gaps = [
        (inside.float().mean() * (right[inside].mean() - confidence[inside].mean()).abs())
        for b in range(BINS)
        if (inside := bins == b).any()
    ]
    return float(torch.stack(gaps).sum())


def summarise(labels: Sequence[str], chosen: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro-F1, precision/recall/F1 per class, the confusion matrix, and the most frequent confusions.

    The macro-F1 is over the classes that `labels` has: one that nothing could be right on says nothing.
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    if not labels:
        return {"n": 0, "accuracy": 0.0, "macro_f1": 0.0, "per_class": {}, "confusion": [], "confused": {}}
    names = list(classes)
    parts = precision_recall_fscore_support(labels, chosen, labels=names, zero_division=0.0)
    matrix = confusion_matrix(labels, chosen, labels=names)
    pairs = {f"{a} -> {b}": int(matrix[i][j]) for i, a in enumerate(names) for j, b in enumerate(names) if i != j}
    return {
        "n": len(labels),
        "accuracy": float(accuracy_score(labels, chosen)),
        "macro_f1": float(parts[2][parts[3] > 0].mean()),
        "per_class": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
            for name, p, r, f, n in zip(names, *parts, strict=True)
        },
        "classes": names,
        "confusion": matrix.tolist(),
        "confused": dict(sorted(((k, v) for k, v in pairs.items() if v), key=lambda pair: -pair[1])),
    }


def evaluate_messages(manager: Manager, path: Path) -> dict[str, Any]:
    """The report on a JSONL file of `{"history", "message", "label", "kind"}`, with the accuracy of each kind.

    Raises:
        DataError: a line that has not this form.
    """
    classes = list(manager.classes)
    rows: list[tuple[str, str, str]] = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(filter(str.strip, stream), 1):
            try:
                item = json.loads(line)
                history = History.from_list(item["history"])
                label = str(item["label"])
                kind = str(item.get("kind", ""))
                rows.append((label, manager.pick(item["message"], history, classes).skill, kind))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f'{path}:{number}: not {{"history", "message", "label", "kind"}}: {error}') from None
    report = summarise([r[0] for r in rows], [r[1] for r in rows], classes)
    kinds = sorted({r[2] for r in rows})
    right = {kind: [label == chosen for label, chosen, k in rows if k == kind] for kind in kinds}
    return report | {"accuracy_of": {kind: sum(r) / len(r) for kind, r in right.items()}}


def write_report(report: Mapping[str, Any], settings: Settings, out: Path) -> None:
    """report.json, confusion.png and README.md into `out`, each by rename."""
    with written_by_rename(out / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if report["n"]:
        with written_by_rename(out / "confusion.png") as temporary:
            draw_confusion(report["confusion"], report["classes"], temporary)
    with written_by_rename(out / "README.md") as temporary:
        temporary.write_text(card(report, settings, out), encoding="utf-8")


def draw_confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], path: Path) -> None:
    """A picture of the confusion matrix, rows = wanted, columns = chosen, shaded by the share of the row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = 2.5 + 0.7 * len(names)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = [[n / max(1, sum(row)) for n in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("chosen")
    axes.set_ylabel("wanted")
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i][j] > 0.5 else "black")
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=100)


def _share(right: Tensor) -> float:
    return float(right.float().mean()) if len(right) else 0.0


def _knobs(settings: Settings) -> dict[str, Any]:
    return {
        "encoder": settings.encoder,
        "encoder_fingerprint": settings.fingerprint,
        "temperature": settings.temperature,
        "threshold": settings.threshold,
        "margin": settings.margin,
    }
