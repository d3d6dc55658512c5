"""The evaluation as one HTML page: tables, pictures and unedited replies; no script, and nothing from elsewhere."""

from __future__ import annotations

import base64
import importlib.util
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from adapterbot.errors import MissingPartError
from adapterbot.evaluation.metrics import Prediction, spread
from adapterbot.evaluation.skill import SkillEvaluation
from adapterbot.evaluation.tables import Grid, grids
from adapterbot.home import written_by_rename
from adapterbot.network.backbone import Backbone

SHOWN = 5  # replies of each skill
PREDICTED = {"bare backbone": "perplexity_backbone", "adapter": "perplexity", "all weights": "perplexity_full"}
SAID = {"best constant": "f1_constant", "facts read out": "f1_copied_facts", "adapter": "f1"}  # bar -> its figure
STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; } p.note { color: #555; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .3rem .7rem; text-align: right; font-variant-numeric: tabular-nums; border-bottom: 1px solid #ddd; }
.text { text-align: left; } img { max-width: 100%; height: auto; }
article { margin: 1rem 0; padding: .6rem 1rem; border: 1px solid #ddd; border-radius: 6px; overflow-wrap: anywhere; }
article p { margin: .2rem 0; white-space: pre-wrap; } .fact { color: #555; } .own { font-weight: 600; }"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>adapterbot: evaluation</title>
<style>
{style}
</style>
</head>
<body>
<h1>Evaluation</h1>
{body}
</body>
</html>
"""


def require_matplotlib() -> None:
    """Raises MissingPartError unless matplotlib, which draws the page's pictures, is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingPartError("the page's pictures need matplotlib: pip install 'adapterbot[train]'")


def write_report_page(path: Path, backbone: Backbone, judged: Mapping[str, SkillEvaluation]) -> None:
    """Write the page over these skills, by rename.

    Raises:
        MissingPartError: matplotlib is not installed.
    """
    require_matplotlib()
    reports = {name: j.figures for name, j in judged.items()}
    parts = [
        f"<p>Backbone {escape(backbone.name)}: {backbone.parameter_count:,} parameters, fingerprint "
        f"<code>{escape(backbone.fingerprint[:16])}</code>.</p>",
        *map(_table, grids(reports)),
        "<h2>Pictures</h2>",
        *_pictures(reports),
        "<h2>Replies, unedited</h2>",
        *(part for name, j in judged.items() for part in _replies(name, j.origin, j.predictions)),
    ]
    text = PAGE.format(style=STYLE, body="\n".join(parts))
    with written_by_rename(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")  # a corpus may hold half characters


def _table(grid: Grid) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        kinds = [' class="text"' if i < grid.texts else "" for i in range(len(cells))]
        pairs = zip(kinds, cells, strict=True)
        return f"<tr>{''.join(f'<{tag}{kind}>{escape(cell)}</{tag}>' for kind, cell in pairs)}</tr>"

    lines = [row(grid.head, "th"), *(row(cells, "td") for cells in grid.rows)]
    table = f'<div class="wide"><table>{"".join(lines)}</table></div>'
    return f'<h2>{escape(grid.title)}</h2>\n<p class="note">{escape(grid.note)}</p>\n{table}'


def _pictures(reports: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Bars of perplexity without and with the adapter, and of F1 beside what a constant and a copy get."""
    for says, bars in (
        ("perplexity", PREDICTED),
        ("F1", SAID),
    ):
        kept = {label: key for label, key in bars.items() if any(key in report for report in reports.values())}
        about = f"Bars of {says} by skill: {', '.join(kept)}"
        yield f'<p><img alt="{escape(about)}" src="data:image/png;base64,{_bars(says, kept, reports)}"></p>'


def _bars(says: str, bars: Mapping[str, str], reports: Mapping[str, Mapping[str, float]]) -> str:
    """A PNG in base64: one group of horizontal bars per skill."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.25 * (len(bars) + 1) * len(reports)), layout="constrained")
    axes = figure.subplots()
    thick = 0.8 / len(bars)
    for k, (label, key) in enumerate(bars.items()):
        known = {i: r[key] for i, r in enumerate(reports.values()) if math.isfinite(r.get(key, math.nan))}
        axes.barh([i + k * thick for i in known], list(known.values()), height=thick, label=label)
    axes.set_yticks([i + 0.4 - thick / 2 for i in range(len(reports))], list(reports))
    axes.invert_yaxis()
    axes.set(xlabel=says)
    figure.legend(loc="outside upper center", ncols=len(bars), frameon=False)
    with io.BytesIO() as stream:
        figure.savefig(stream, format="png", dpi=120)
        return base64.b64encode(stream.getvalue()).decode()


def _replies(name: str, origin: str, predictions: Sequence[Prediction]) -> Iterator[str]:
    yield f'<h3>{escape(name)}</h3>\n<p class="note">{escape(origin)}</p>'
    for answered in spread(predictions, SHOWN):
        speakers = ["you" if (len(answered.utterances) - i) % 2 else "bot" for i in range(len(answered.utterances))]
        lines = [
            *(_line("fact", "fact", fact) for fact in answered.facts),
            *(_line("said", who, text) for who, text in zip(speakers, answered.utterances, strict=True)),
            _line("own", name, answered.reply),
            _line("fact", "a person", answered.reference),
        ]
        yield f"<article>\n{chr(10).join(lines)}\n</article>"


def _line(kind: str, who: str, text: str) -> str:
    return f'<p class="{kind}">{escape(who)}: {escape(text)}</p>'
