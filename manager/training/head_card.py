"""2 · The cards that stand beside heads over the encoder: what one is, how good it is, what it learnt from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterbot.home import written_by_rename
from adapterbot.manager.training.licences import source_of


@dataclass(frozen=True, slots=True)
class HeadCard:
    """What a card says: its title, the file, the command that makes it, what the head does, and its limits."""

    title: str
    file: str
    command: str
    does: str
    limits: str

    @property
    def name(self) -> str:
        """The card's own file name."""
        return f"{Path(self.file).stem}.md"

    def text(self, metrics: Mapping[str, Any], own: Iterable[str], learnt: Iterable[str]) -> str:
        """The Markdown. `own`: what it learnt from that is ours; `learnt`: names of corpora."""
        lines = [
            f"# {self.title}",
            "",
            f"{self.does} MiniLM with a low-rank update, and linear heads: `{self.file}`, written by",
            f"`adapterbot {self.command}`.",
            "",
            "| on what it did not learn from | |",
            "| --- | --- |",
            *(f"| {name} | {told(value)} |" for name, value in flat(metrics)),
            "",
            "## Learnt from",
            "",
            *(f"- {text}" for text in own),
            *(f"- {source_of(name)}" for name in learnt),
            "",
            "Some of these corpora are non-commercial: treat the weights in this folder as CC BY-NC 4.0.",
            "",
            "## Limits",
            "",
            self.limits,
            "",
        ]
        return "\n".join(lines)

    def write(self, out: Path, metrics: Mapping[str, Any], own: Iterable[str], learnt: Iterable[str]) -> None:
        """Write the card into the folder `out` by rename."""
        with written_by_rename(out / self.name) as temporary:
            temporary.write_text(self.text(metrics, own, learnt), encoding="utf-8")


def flat(metrics: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, float]]:
    """The numbers of nested metrics with their names."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}: ")
        elif isinstance(value, int | float):
            yield f"{above}{name}", value


def told(value: float) -> str:
    """A share in percent, a count as it is, any other number with two places."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.1%}" if 0 <= value <= 1 else f"{value:.2f}"
