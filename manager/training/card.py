"""2 · The card (README.md) that stands beside a trained manager: what it is, how good it is, what it learned from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterbot.manager.classifier import EARLIER, HISTORY, Settings
from adapterbot.manager.encoder import DIALOGUE
from adapterbot.manager.training.licences import source_of

OWN = {"phrases": "the `routing.examples` of the specs", "samples": "the sample dialogues of the skills"}


def card(report: Mapping[str, Any], settings: Settings, out: Path) -> str:
    """The card's Markdown."""
    names = ", ".join(f"`{name}`" for name in settings.classes)
    lines = [
        "# Manager",
        "",
        f"Chooses among {names} for each message.",
        f"The vectors of the message and of up to {HISTORY} utterances before it (encoder `{settings.encoder}`,",
        f"frozen) go through a small transformer, and so do those of {EARLIER} messages before it: who talks of one",
        "thing goes on with it, unless the message speaks against it. Written by `adapterbot train-manager`;",
        "`report.json` has all figures, `confusion.png` the confusions on the validation examples.",
        "",
        *_figures(report),
        "",
        "The validation examples carry the corpora's own labels, in which much small talk is labelled as a skill;",
        "nobody could reach 100% on them. The hand-written messages have one clear answer each.",
        "",
        f"Chosen on the validation examples: temperature {settings.temperature:.2f},",
        f"threshold {settings.threshold:.2f}, margin {settings.margin:.2f}. Below them `chitchat` answers.",
        "",
        *_classes(report),
        "",
        "## Learned from",
        "",
        f"{report['trained_on']:,} examples: {report['dropped']:,} doubtful corpus labels were dropped,",
        f"{report['promoted']:,} clear follow-ups stand alone as well.",
        "",
        *[f"- {_source(name)}" for name in report["sources"]],
        *[f"- {remark}" for remark in report["remarks"]],
        "",
        *_dialogues(settings, out),
        "## Limits",
        "",
        "English only; other languages are meant to reach the fallback. It reads the message and some utterances",
        "before it, not the whole conversation. It saw no message of the hand-written test set.",
        "",
    ]
    return "\n".join(lines)


def _figures(report: Mapping[str, Any]) -> list[str]:
    shares = "; ".join(f"{kind} {share:.0%}" for kind, share in report["accuracy_of"].items())
    figures = f"{report['n']} | {_percent(report)} | {report['macro_f1']:.3f} | {report['calibration_error']:.3f}"
    lines = [
        "| judged on | messages | accuracy | macro-F1 | calibration error |",
        "|" + " --- |" * 5,
        f"| validation ({shares}) | {figures} |",
    ]
    if hand := report.get("judged"):
        kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in hand["accuracy_of"].items())
        lines.append(f"| hand-written ({kinds}) | {hand['n']} | {_percent(hand)} | {hand['macro_f1']:.3f} | |")
    return lines


def _dialogues(settings: Settings, out: Path) -> list[str]:
    """Of the encoder that was learnt on dialogues: what it is and which they were."""
    path = out / "ranker.json"
    if settings.encoder != DIALOGUE or not path.is_file():
        return []
    ranker = json.loads(path.read_text(encoding="utf-8"))
    return [
        "## The encoder and the ranker",
        "",
        "The encoder is MiniLM with a low-rank update of its weights (`encoder.safetensors`), learnt with two tasks:",
        "to tell the skill, from more of the messages above, and to find the true reply to a conversation. What finds",
        f"the reply is the ranker: {ranker['first_among_candidates']:.0%} of validation replies come first among",
        f"{ranker['candidates']} of the same corpus. Replies learnt from:",
        "",
        *[f"- {_source(name)}: {count:,}" for name, count in ranker["replies"].items()],
        "",
        "Some of these corpora are non-commercial: treat the weights in this folder as CC BY-NC 4.0.",
        "",
    ]


def _classes(report: Mapping[str, Any]) -> list[str]:
    judged = report.get("judged", report)
    lines = ["| skill | precision | recall | F1 | messages |", "| --- | --- | --- | --- | --- |"]
    for name, row in judged["per_class"].items():
        lines.append(f"| {name} | {row['precision']:.2f} | {row['recall']:.2f} | {row['f1']:.2f} | {row['n']} |")
    where = "the hand-written messages" if "judged" in report else "the validation examples"
    return [f"Per skill, on {where}:", "", *lines]


def _percent(report: Mapping[str, Any]) -> str:
    return f"{report['accuracy']:.1%}"


def _source(name: str) -> str:
    if name in OWN:
        return OWN[name]
    return source_of(name)
