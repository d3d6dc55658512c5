"""`adapterbot bench`: speed and memory beside other libraries, all in one run in which contenders take turns.

A part is a function that yields what it has measured, row by row; `PARTS` says where each stands.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from adapterbot.cli.bench.peers import ADAPTERS, NODE, get_peers
from adapterbot.cli.bench.results import Report, Row, Series, middle, read_report, shown
from adapterbot.cli.bench.setting import FULL, QUICK, Setting
from adapterbot.cli.console import console
from adapterbot.cli.output import say
from adapterbot.cli.stopping import StoppedError
from adapterbot.errors import AdapterbotError, UnknownNameError
from adapterbot.evaluation.speed import processor
from adapterbot.home import Home

PARTS = {
    "start": "start:measures",
    "smollm2": "smollm2:measures",
    "bandwidth": "smollm2:bandwidth",
    "gpt2": "gpt2:measures",
    "skills": "engine:skills",
    "requests": "engine:requests",
    "turns": "engine:turns",
    "training": "training:measures",
    "memory": "memory:measures",
    "growth": "growth:measures",
}
LIBRARIES = ("adapterbot", "torch", "transformers", "peft")
Found = Iterator[Row | Series]


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may ask of a run."""

    json: Path | None = None
    page: Path | None = None
    read: Path | None = None
    only: Sequence[str] = field(default_factory=tuple)
    quick: bool = False
    threads: int | None = None
    peers: Path | None = None
    get_peers: bool = False


def run(options: Options) -> None:
    """Measure, or read what was measured; show it, and write JSON and a page if asked to.

    Raises:
        UnknownNameError: a part that there is not.
        AdapterbotError: a page is asked for of a quick run, whose figures mean nothing.
        StoppedError: Ctrl-C; what was measured is shown and written.
    """
    for name in options.only:
        if name not in PARTS:
            raise UnknownNameError("part of the bench", name, PARTS)
    if options.page is not None and options.quick:
        raise AdapterbotError("a quick run shows that all is measured, not how fast it is: no page is made of it")
    home = Home.at()
    peers = options.peers or home.root / "peers"
    if options.get_peers:
        get_peers(peers, say)
        return
    report = read_report(options.read) if options.read else _measured(options, home, peers)
    _show(report)
    if options.json is not None:
        report.write(options.json)
    if options.page is not None:
        from adapterbot.cli.bench.page import write_page

        for path in write_page(options.page, report):
            say(f"written: {path}")
    if report.stopped and options.read is None:
        raise StoppedError(f"stopped; {len(report.rows)} rows were measured")


def _measured(options: Options, home: Home, peers: Path) -> Report:
    """All parts, or those asked for; what was measured until Ctrl-C is kept."""
    setting = Setting(home, peers, QUICK if options.quick else FULL, options.threads)
    report = Report(machine(setting), options.quick)
    columns = (TextColumn("{task.completed}/{task.total}"), BarColumn(), TimeElapsedColumn())
    chosen = [name for name in PARTS if not options.only or name in options.only]
    try:
        with Progress(*columns, TextColumn("{task.description}"), console=console, transient=True) as bar:
            task = bar.add_task("", total=len(chosen))
            for name in chosen:

                def announce(text: str, name: str = name) -> None:
                    bar.update(task, description=f"{name}: {text}")

                setting.announce = announce
                setting.announce("")
                for found in part(name)(setting):
                    report.add(found)
                bar.advance(task)
    except KeyboardInterrupt:
        report.stopped = True
    return report


def part(name: str) -> Callable[[Setting], Found]:
    """The function of a part; its module is loaded with it."""
    module, _, function = PARTS[name].partition(":")
    found: Callable[[Setting], Found] = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return found


def machine(setting: Setting) -> dict[str, Any]:
    """On what, and with what, a run is made."""
    return {
        "when": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "vnni": torch.cpu._is_vnni_supported(),
        "avx512": torch.cpu._is_avx512_supported(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "threads": {"smollm2": setting.few, "gpt2": setting.many},
        "versions": {name: found for name in LIBRARIES if (found := _version(name))}
        | {"node-llama-cpp": NODE.rpartition("@")[2], "adapters": ADAPTERS.rpartition("=")[2]},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _show(report: Report) -> None:
    """Rows and series as tables."""
    table = Table("measure", "ours", "beside", "ratio", "target")
    for row in report.rows:
        beside = f"{shown(middle(row.theirs))} {row.unit}, {row.against}" if row.theirs else row.against
        ratio = shown(row.value) if row.against else ""
        ours = f"{shown(middle(row.ours))} {row.unit}" if row.ours else ""
        table.add_row(row.name, ours, beside, ratio, ": ".join(filter(None, (row.target, row.verdict))))
    console.print(table)
    for series in report.series:
        points = ", ".join(f"{x}: {shown(y)}" for x, y in zip(series.x, series.y, strict=True))
        console.print(f"{series.name} ({series.along}: {series.unit}): {points}")
