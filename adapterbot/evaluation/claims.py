"""How good are the verdicts on claims? Measured on labelled texts, beside the original's perplexity and threshold.

The original calls a claim fake when a language model finds it unlikely (Lee et al. 2020, arXiv 2006.04666). Here a text
gets a verdict only where it says what a known phrasing says: what counts is how many get one, and how many of those are
right. `wordings` judges verdicts on whatever is said about a claim.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from adapterbot.bot import Bot
from adapterbot.errors import DataError, MissingPartError
from adapterbot.evaluation.metrics import spread
from adapterbot.facts import Verdict
from adapterbot.history import History
from adapterbot.knowledge import Source
from adapterbot.network.likelihood import perplexity
from adapterbot.reply.prompt import encode

SKILL = "covid_claims"
CORPORA = ("coaid", "covid_fake_tweets")
LABELS = {"real": "supported", "fake": "contradicted"}


def judge_claims(
    bot: Bot, folder: Path, *, most: int = 300, advance: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, dict[str, float]]:
    """For each corpus of CORPORA in `folder` the figures of at most `most` validation texts, evenly spread.

    Texts with a question mark claim nothing and are left out. `texts`: how many; `coverage`: the share with a
    verdict; `precision`: the share of these that agrees with the label; `majority`: the share of the commoner label.
    By perplexity of the text under the bare backbone: `auc_perplexity`
    (0.5 is chance), and the share that the best of all thresholds gets right, over all texts
    (`accuracy_perplexity_best_threshold`) and over those with a verdict (`accuracy_perplexity_same_texts`).
    `advance` is told the texts just done, and how many there are in all.

    Raises:
        DataError: none of the corpora is in `folder`, or the first bad line as file:line.
        MissingPartError: scikit-learn is not installed.
    """
    found = {name: spread(read_labelled(path), most) for name in CORPORA if (path := _validation(folder / name))}
    if not any(found.values()):
        raise DataError(f"{folder}: none of {', '.join(CORPORA)} with a validation part to judge claims on")
    total = sum(map(len, found.values()))
    source = bot.source(SKILL)
    report = {}
    for name, texts in found.items():
        said = list[str]()
        unlikely = list[float]()
        for text, _ in texts:
            said.append(verdict(source, text))
            unlikely.append(text_perplexity(bot, text))
            advance(1, total)
        report[name] = figures([label for _, label in texts], said, unlikely)
    return report


def verdict(source: Source, text: str) -> str:
    """`supported` or `contradicted`, or "" where the source has no verdict."""
    facts = source.retrieve(History().add_user(text)) if text.strip() else []
    labels = (fact.label for fact in facts if isinstance(fact, Verdict))
    return next((label for label in labels if label in LABELS.values()), "")


def text_perplexity(bot: Bot, text: str) -> float:
    """exp of the mean cross-entropy per token of a text that nothing precedes."""
    backbone = bot.backbone
    row = encode(backbone.tokenizer, (), [text], positions=backbone.positions, learn=[0])
    return perplexity(backbone, None, [row])


def figures(labels: Sequence[str], said: Sequence[str], unlikely: Sequence[float]) -> dict[str, float]:
    """The figures of `judge_claims` for texts with these labels, verdicts ("" is none) and perplexities."""
    try:
        from sklearn.metrics import roc_auc_score
    except ImportError:
        raise MissingPartError("verdicts are judged with scikit-learn: pip install 'adapterbot[train]'") from None

    fake = np.array([label == "fake" for label in labels])
    scores = np.array(unlikely)
    given = np.array([bool(verdict) for verdict in said])
    right = [LABELS[label] == verdict for label, verdict in zip(labels, said, strict=True) if verdict]
    return {
        "texts": len(labels),
        "coverage": float(given.mean()),
        "precision": float(np.mean(right)) if right else 0.0,
        "majority": float(max(fake.mean(), 1 - fake.mean())),
        "auc_perplexity": float(roc_auc_score(fake, scores)) if 0 < fake.sum() < len(fake) else 0.5,
        "accuracy_perplexity_best_threshold": best_accuracy(fake, scores),
        "accuracy_perplexity_same_texts": best_accuracy(fake[given], scores[given]),
    }


def best_accuracy(fake: np.ndarray, scores: np.ndarray) -> float:
    """The largest share that some threshold gets right when scores above it mean fake; 0 without any."""
    if not len(fake):
        return 0.0
    cuts = [-np.inf, *np.unique(scores)]
    return float(max(((scores > cut) == fake).mean() for cut in cuts))


def read_labelled(path: Path) -> list[tuple[str, str]]:
    """Text and label of each line of a .jsonl or .jsonl.gz file, without the questions.

    Raises:
        DataError: the first line that is not `{"text", "label"}` with label `real` or `fake`, as file:line.
    """
    found = list[tuple[str, str]]()
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            for number, raw in enumerate(stream, 1):
                found.append(_labelled(raw, f"{path}:{number}"))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return [(text, label) for text, label in found if "?" not in text]


def _labelled(raw: bytes, where: str) -> tuple[str, str]:
    try:
        item = json.loads(raw.decode("utf-8-sig"))
        text = item["text"]
        label = item["label"]
    except (ValueError, KeyError, TypeError, RecursionError):
        text = label = None
    if not isinstance(text, str) or not text.strip() or label not in LABELS:
        raise DataError(f'{where}: not {{"text", "label"}} with a text and the label "real" or "fake"')
    return text, str(label)


def _validation(folder: Path) -> Path | None:
    return next((p for s in (".jsonl", ".jsonl.gz") if (p := folder / f"valid{s}").is_file()), None)
