"""2 · `adapterbot train-manager`: examples -> vectors -> cleaned labels -> head -> temperature, threshold, margin."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from adapterbot.errors import DataError
from adapterbot.manager.classifier import (
    CLASSIFIER,
    HISTORY,
    STORED,
    Classifier,
    Head,
    HeadEnsemble,
    Settings,
    decide,
    filtered,
)
from adapterbot.manager.encoder import Encoder
from adapterbot.manager.router import Manager
from adapterbot.manager.training.examples import Example, collect
from adapterbot.manager.training.mixtures import Mixture, encode_texts
from adapterbot.manager.training.report import evaluate_messages, measure, require_libraries, write_report
from adapterbot.network.device import fastest
from adapterbot.spec.tables import FALLBACK, SkillSpec

LR = 1e-3
DECAY = 1e-2
SMOOTHING = 0.02
METRICS = ("accuracy", "macro_f1", "calibration_error")
DOUBT = 0.10  # out-of-fold probability below which a corpus label is dropped
TRUST = 0.80  # and above which it stands alone
# Floors, so that a manager trained on little data is still careful.
THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
MARGINS = (0.05, 0.1, 0.15, 0.2)


@dataclass(frozen=True, slots=True)
class ClassifierTraining:
    """How a classifier is trained: heads that differ by their seed, the steps of each, and rows per step.

    `cleaning_steps` are those of the heads that doubtful corpus labels are told by.
    """

    seed: int = 0
    heads: int = 2
    steps: int = 2500
    cleaning_steps: int = 400
    batch: int = 256


def train_manager(
    specs: Mapping[str, SkillSpec],
    *,
    corpora: Path | None,
    encoder: Encoder,
    out: Path,
    settings: ClassifierTraining = ClassifierTraining(),
    progress: bool = True,
    judge: Path | None = None,
) -> dict[str, Any]:
    """Train the manager over the routable skills of `specs`; write classifier, report, picture and card into `out`.

    `judge` is a file for `report.evaluate_messages`, which the finished manager is tried on.

    Raises:
        DataError: fewer than two routable skills have anything to learn from, or a corpus file is bad.
        MissingPartError: scikit-learn or matplotlib is not installed.
    """
    # Long: the steps of the training in their order.
    require_libraries()
    routable = {name: spec for name, spec in sorted(specs.items()) if spec.routing.auto}
    seed = settings.seed
    examples, remarks = collect(routable, corpora, seed)
    classes = _learnable(routable, examples)
    remarks += [f"{name}: nothing to learn from" for name in routable if name not in classes]
    examples = [e for e in examples if e.skill in classes]
    with _progress(progress) as advance:
        row, vectors = encode_texts(examples, encoder, advance)
    near = vectors.to(fastest())
    train, cleaning = clean([e for e in examples if not e.valid], classes, row, near, settings)
    head = fit_heads(Mixture.of(train, classes, row, near), settings)
    valid = Mixture.of([e for e in examples if e.valid], classes, row, vectors)
    fitted = calibrate(head, Settings(classes, encoder.name, encoder.fingerprint, encoder.width), valid, seed)
    report = measure(Classifier(head, fitted), valid, seed)
    sources = sorted({e.source for e in examples})
    report |= cleaning | {"trained_on": len(train), "seed": seed, "remarks": remarks, "sources": sources}
    classifier = Classifier(head, replace(fitted, metrics={k: report[k] for k in METRICS}))
    if judge is not None:
        report["judged"] = evaluate_messages(Manager(classifier, encoder), judge)
    classifier.save(out / CLASSIFIER)
    write_report(report, classifier.settings, out)
    return report


def _learnable(specs: Mapping[str, SkillSpec], examples: Sequence[Example]) -> tuple[str, ...]:
    """The skills with something to train on, in the order of `specs`; DataError when that leaves no choice to learn."""
    classes = tuple(name for name in specs if any(e.skill == name and not e.valid for e in examples))
    if len(classes) < 2 or FALLBACK not in classes:
        raise DataError(f"the manager needs examples of {FALLBACK!r} and of one more skill; there are: {list(classes)}")
    return classes


def fit_heads(mixture: Mixture, settings: ClassifierTraining) -> HeadEnsemble:
    """Heads that differ by their seed, on the processor, with weights as their file will have them."""
    seeds = range(settings.seed, settings.seed + settings.heads)
    heads = HeadEnsemble(fit(mixture, seed, settings.steps, settings.batch) for seed in seeds)
    return heads.cpu().to(STORED).float().eval()


def fit(mixture: Mixture, seed: int, steps: int, batch: int, chances: Tensor | None = None) -> Head:
    """A head trained on rows drawn from `mixture` by `chances` [N].

    The learning rate falls to zero at the last step, so that step's weights are the ones to keep.
    """
    torch.manual_seed(seed)
    head = Head(mixture.vectors.shape[1], mixture.classes).to(mixture.vectors.device)
    optimiser = torch.optim.AdamW(head.parameters(), lr=LR, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=LR, total_steps=steps)
    generator = Generator().manual_seed(seed)
    chances = mixture.weights() if chances is None else chances
    for picked in torch.multinomial(chances, steps * batch, replacement=True, generator=generator).split(batch):
        logits = head(mixture.features(mixture.message[picked], mixture.with_histories(picked, generator)))
        loss = F.cross_entropy(logits, mixture.skill[picked].to(logits.device), label_smoothing=SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return head.eval()


def clean(
    examples: list[Example],
    classes: Sequence[str],
    row: dict[str, int],
    vectors: Tensor,
    settings: ClassifierTraining,
) -> tuple[list[Example], dict[str, int]]:
    """The examples without doubtful corpus labels, with clear follow-ups standing alone as well, and how many of each.

    A first turn such as "hi, how are you" says nothing of its corpus' skill; a later one such as "do you have pets?"
    may say everything. Each half is judged by a head that was trained on the other half (confident learning,
    Northcutt et al. 2021, arXiv 1911.00068).
    """
    mixture = Mixture.of(examples, classes, row, vectors)
    in_place, by_itself = out_of_fold(mixture, settings)
    kept = [e for e, p in zip(examples, in_place.tolist(), strict=True) if e.trusted or p >= DOUBT]
    clear = [
        replace(e, kind="alone", history=())
        for e, p in zip(examples, by_itself.tolist(), strict=True)
        if e.kind == "follow" and p > TRUST
    ]
    return kept + clear, {"dropped": len(examples) - len(kept), "promoted": len(clear)}


def out_of_fold(mixture: Mixture, settings: ClassifierTraining) -> tuple[Tensor, Tensor]:
    """Probability [N] of each label by a head that never saw the example: with its own history, and without any."""
    seed = settings.seed
    fold = torch.randint(2, (len(mixture.skill),), generator=Generator().manual_seed(seed)).bool()
    in_place = torch.zeros(len(mixture.skill))
    by_itself = torch.zeros(len(mixture.skill))
    for part in (fold, ~fold):
        head = fit(mixture, seed, settings.cleaning_steps, settings.batch, mixture.weights() * ~part)
        message = mixture.message[part]
        history = mixture.history[part, -HISTORY:]
        label = mixture.skill[part].unsqueeze(1)
        for own, before in ((in_place, history), (by_itself, history * 0)):
            with torch.inference_mode():
                scores = torch.softmax(head(mixture.features(message, before)), dim=-1).cpu()
            own[part] = scores.gather(1, label).squeeze(1)
    return in_place, by_itself


def calibrate(head: HeadEnsemble, settings: Settings, valid: Mixture, seed: int) -> Settings:
    """Temperature with the least negative log-likelihood, then threshold and margin with the best accuracy.

    Both on the validation examples; without any, the cautious ends of the ranges.
    """
    if len(valid.skill) == 0:
        return replace(settings, threshold=THRESHOLDS[0], margin=MARGINS[0])
    features, labels = valid.fixed(seed)
    logits, said = Classifier(head, settings).logits(features)
    temperatures = [2 ** (step / 8) for step in range(-16, 17)]
    temperature = min(temperatures, key=lambda t: float(F.nll_loss(filtered(logits, said, t).log(), labels)))
    scores = filtered(logits, said, temperature)
    fallback = settings.classes.index(FALLBACK)

    def accuracy(pair: tuple[float, float]) -> float:
        return float((decide(scores, *pair, fallback) == labels).float().mean())

    threshold, margin = max(((t, m) for t in THRESHOLDS for m in MARGINS), key=accuracy)
    return replace(settings, temperature=temperature, threshold=threshold, margin=margin)


@contextlib.contextmanager
def _progress(show: bool) -> Iterator[Callable[[int, int], None]]:
    """Yields `advance(done, total)`; draws a bar when `show`."""
    if not show:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("reading messages", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
