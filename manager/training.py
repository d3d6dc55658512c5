"""2 · `adapterbot train-manager`: examples -> vectors -> head -> temperature, threshold, margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import Progress
from torch import Generator

from adapterbot.device import fastest
from adapterbot.errors import DataError
from adapterbot.manager.classifier import CLASSIFIER, Classifier, Head, Heads, Settings, decide
from adapterbot.manager.encoder import Encoder, encode_rows
from adapterbot.manager.examples import Example, collect
from adapterbot.manager.mixing import Mixture, rows_of
from adapterbot.manager.report import evaluate_messages, measure, require_libraries, write_report
from adapterbot.manager.router import Manager
from adapterbot.spec import FALLBACK, SkillSpec

BATCH, LR, DECAY, SMOOTHING = 256, 1e-3, 1e-2, 0.02
HEADS, STEPS = 2, 2000  # heads that differ by their seed, and the steps of each
METRICS = ("accuracy", "macro_f1", "calibration_error")
# Floors, so that a manager trained on little data is still careful.
THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
MARGINS = (0.05, 0.1, 0.15, 0.2)


def train_manager(
    specs: Mapping[str, SkillSpec],
    *,
    corpora: Path | None,
    encoder: Encoder,
    out: Path,
    seed: int = 0,
    progress: bool = True,
    judge: Path | None = None,
) -> dict[str, Any]:
    """Train the manager over the routable skills of `specs`; write classifier, report, picture and card into `out`.

    `judge` is a file for `report.evaluate_messages`, which the finished manager is tried on.

    Raises:
        DataError: fewer than two routable skills have anything to learn from, or a corpus file is bad.
        MissingPartError: scikit-learn or matplotlib is not installed.
    """
    require_libraries()
    routable = {name: spec for name, spec in sorted(specs.items()) if spec.routing.auto}
    examples, remarks = collect(routable, corpora, seed)
    classes = _learnable(routable, examples)
    remarks += [f"{name}: nothing to learn from" for name in routable if name not in classes]
    examples = [e for e in examples if e.skill in classes]
    row = rows_of(examples)
    with Progress(disable=not progress) as bar:
        vectors = encode_rows(list(row), encoder, bar).half()
    train = [e for e in examples if not e.valid]
    head = fit_heads(Mixture.of(train, classes, row, vectors.to(fastest())), seed)
    valid = Mixture.of([e for e in examples if e.valid], classes, row, vectors)
    settings = calibrate(head, Settings(classes, encoder.name, encoder.fingerprint, encoder.width), valid, seed)
    report = measure(Classifier(head, settings), valid, seed)
    sources = sorted({e.source for e in examples})
    report |= {"trained_on": len(train), "seed": seed, "remarks": remarks, "sources": sources}
    classifier = Classifier(head, settings := replace(settings, metrics={k: report[k] for k in METRICS}))
    if judge is not None:
        report["judged"] = evaluate_messages(Manager(classifier, encoder), judge)
    classifier.save(out / CLASSIFIER)
    write_report(report, settings, out)
    return report


def _learnable(specs: Mapping[str, SkillSpec], examples: Sequence[Example]) -> tuple[str, ...]:
    """The skills with something to train on, in the order of `specs`; DataError when that leaves no choice to learn."""
    classes = tuple(name for name in specs if any(e.skill == name and not e.valid for e in examples))
    if len(classes) < 2 or FALLBACK not in classes:
        raise DataError(f"the manager needs examples of {FALLBACK!r} and of one more skill; there are: {list(classes)}")
    return classes


def fit_heads(mixture: Mixture, seed: int) -> Heads:
    """HEADS heads that differ by their seed, on the processor."""
    return Heads(fit(mixture, seed + i, STEPS) for i in range(HEADS)).cpu().eval()


def fit(mixture: Mixture, seed: int, steps: int) -> Head:
    """A head trained on rows drawn from `mixture`.

    The learning rate falls to zero at the last step, so that step's weights are the ones to keep.
    """
    torch.manual_seed(seed)
    head = Head(mixture.vectors.shape[1], mixture.classes).to(mixture.vectors.device)
    optimiser = torch.optim.AdamW(head.parameters(), lr=LR, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=LR, total_steps=steps)
    generator = Generator().manual_seed(seed)
    for picked in torch.multinomial(mixture.weights(), steps * BATCH, replacement=True, generator=generator).split(
        BATCH
    ):
        logits = head(mixture.features(mixture.message[picked], mixture.with_histories(picked, generator)))
        loss = F.cross_entropy(logits, mixture.skill[picked].to(logits.device), label_smoothing=SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return head.eval()


def calibrate(head: Heads, settings: Settings, valid: Mixture, seed: int) -> Settings:
    """Temperature with the least negative log-likelihood, then threshold and margin with the best accuracy.

    Both on the validation examples; without any, the cautious ends of the ranges.
    """
    if len(valid.skill) == 0:
        return replace(settings, threshold=THRESHOLDS[0], margin=MARGINS[0])
    features, labels = valid.fixed(seed)
    with torch.inference_mode():
        logits = head(features)
    temperatures = [2 ** (step / 8) for step in range(-16, 17)]
    temperature = min(temperatures, key=lambda t: float(F.cross_entropy(logits / t, labels)))
    scores = torch.softmax(logits / temperature, dim=-1)
    fallback = settings.classes.index(FALLBACK)

    def accuracy(pair: tuple[float, float]) -> float:
        return float((decide(scores, *pair, fallback) == labels).float().mean())

    threshold, margin = max(((t, m) for t in THRESHOLDS for m in MARGINS), key=accuracy)
    return replace(settings, temperature=temperature, threshold=threshold, margin=margin)
