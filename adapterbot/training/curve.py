"""The curve of a pretraining as JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapterbot.home import written_by_rename


def write_curve(folder: Path, curve: Sequence[Mapping[str, Any]], final: Mapping[str, float]) -> None:
    """curve.json (every measurement, and the last one by corpus) and, where matplotlib is installed, curve.png."""
    with written_by_rename(folder / "curve.json") as temporary:
        temporary.write_text(json.dumps({"curve": list(curve), "bits_per_byte": dict(final)}, indent=1), "utf-8")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    tokens = [row["tokens"] / 1e6 for row in curve]
    for name in final:
        axes.plot(tokens, [row[name] for row in curve], color="0.8", linewidth=1)
        if curve:
            axes.annotate(name, (tokens[-1], curve[-1][name]), fontsize=6, color="0.5")
    axes.plot(tokens, [row["bits_per_byte"] for row in curve], marker="o", label="mean of the corpora")
    axes.set(xlabel="million tokens", ylabel="validation bits per byte")
    axes.legend(frameon=False)
    with written_by_rename(folder / "curve.png") as temporary:
        figure.savefig(temporary, format="png", dpi=150)
