"""The page of a backbone's figures and replies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapterbot.evaluation.backbone import SPOKEN
from adapterbot.home import written_by_rename


def write_page(report: Mapping[str, Any], path: Path) -> None:
    """The report as a Markdown page for people: figures, what was said, and the names that were not used."""
    parts = [
        f"# What the backbone {report['backbone']} says",
        f"{report['parameters']:,} parameters, fingerprint `{report['fingerprint'][:12]}`. The replies are those of "
        "the backbone alone, without any adapter.",
        "## Figures",
        *_figures(report),
        "## Conversations",
        *(_conversation(number, prompt) for number, prompt in enumerate(report["prompts"], 1)),
        "## Names that were not used",
        *_failures(report["copy_failures"]),
    ]
    with written_by_rename(path) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _figures(report: Mapping[str, Any]) -> Iterator[str]:
    kinds = {
        "distinct_1": ("distinct words over all words", ".2f"),
        "distinct_2": ("distinct pairs of words over all pairs", ".2f"),
        "repetition_rate": ("replies that say three words in a row twice", ".0%"),
        "mean_length": ("words in a reply", ".1f"),
    }
    rows = [[says, *(f"{report[key][how]:{form}}" for how in SPOKEN)] for key, (says, form) in kinds.items()]
    yield _table(["replies to the prompts below", *SPOKEN], rows)
    shares = [[name, f"{share:.0%}"] for name, share in report["copying"].items()]
    yield _table(["facts with made-up names", "replies that use the name"], shares)
    if "bits_per_byte" in report:
        scores = [[name, f"{score:.3f}"] for name, score in sorted(report["bits_per_byte"].items())]
        mean = ["**mean of the corpora**", f"**{report['bits_per_byte_mean']:.3f}**"]
        yield _table(["validation dialogues", "bits per byte"], [mean, *scores])


def _conversation(number: int, prompt: Mapping[str, Any]) -> str:
    said = [*prompt.get("history", ()), prompt["prompt"]]
    speakers = ["you" if (len(said) - i) % 2 else "bot" for i in range(len(said))]
    lines = [f"**{who}:** {_plain(text)}" for who, text in zip(speakers, said, strict=True)]
    replies = [f"> *{how}:* {_plain(prompt[how])}" for how in SPOKEN]
    return f"### {number}\n\n" + "  \n".join(lines) + "\n\n" + "  \n".join(replies)


def _failures(failures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not failures:
        yield "None: every reply used a name from its facts."
    for group in dict.fromkeys((f["skill"], f["by"]) for f in failures):
        skill, by = group
        yield f"### {skill}" + (", the backbone alone" if by != skill else "")
        rows = [
            [_plain(f["message"]), _plain(" or ".join(f["expected"])), _plain(f["reply"])]
            for f in failures
            if (f["skill"], f["by"]) == group
        ]
        yield _table(["asked", "expected", "reply"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _plain(text: str) -> str:
    """`text` on one line, shown by Markdown as it is."""
    return re.sub(r"([\\`*_<>&|#~\[\]])", r"\\\1", " ".join(text.split()))
