"""`adapterbot train-tracker`: the state tracker, from our own lines, lines of queries and belief states of corpora."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.data.belief_states import domains_of, names_of, read_turns
from adapterbot.data.query_lines import OWN as QUERIES
from adapterbot.data.query_lines import own_lines as read_queries
from adapterbot.data.tracking_lines import (
    MEANINGS,
    OWN,
    Reading,
    TrackingLine,
    line_of_query,
    line_of_turn,
    own_lines,
    values_of,
)
from adapterbot.errors import DataError
from adapterbot.manager.bert import BertEncoder
from adapterbot.manager.tracker import (
    STANCES,
    TRACKER,
    Settings,
    Tracker,
    TrackerReader,
    batch_of,
    columns_of,
)
from adapterbot.manager.training.fitting import Told, fit, in_batches
from adapterbot.manager.training.head_card import HeadCard
from adapterbot.network.device import training_type

SETS = {"multiwoz": 1.0, "camrest": 1.0, "woz": 1.0, "sgd": 0.08, "kvret": 0.3}  # the share of turns that is taken
UNNAMED = ("camrest", "woz")  # their states hold no names of rows; these are of the restaurants of multiwoz
IGNORED = -1
CARD = HeadCard(
    "State tracker",
    TRACKER,
    "train-tracker --data STATES",
    "Tells what the values in a message to a table mean, which columns it asks for, and which shown row it takes.",
    "English only. Numbers, times and orders are found by rules, not by it.",
)
SOURCES = (
    "marked lines of messages to tables: our own (`data/tracking`)",
    "lines of queries: our own (`data/queries`)",
)


@dataclass(frozen=True, slots=True)
class TrackerTraining:
    """How it is trained: `states` is how many turns of corpora a pass has, beside all lines of our own."""

    epochs: int = 6
    seed: int = 0
    rate: float = 1e-3
    first: int = 1  # blocks before it stay as they are
    rank: int = 16
    states: int = 2_500
    batch: int = 64


def train_tracker(
    folder: Path | None,
    base: BertEncoder,
    out: Path,
    settings: TrackerTraining,
    told: Told,
    lines: Path = OWN,
    query_lines: Path = QUERIES,
    start: Tracker | None = None,
) -> dict[str, Any]:
    """Write tracker.safetensors into `out`; returns its figures on lines that it has not learnt from.

    `folder`: of belief states; None to learn from our own `lines` and `query_lines` alone. It goes on from `start`.

    Raises:
        DataError: a file of lines is damaged, or `folder` has none of SETS.
    """
    train, valid = own_lines(lines)
    queries = [found for line in read_queries(query_lines)[0] if (found := line_of_query(line))]
    states = lines_of_states(folder, "train", settings.seed) if folder else []
    reader = learn(base, [*train, *queries], states, settings, told, start)
    tracker = Tracker(reader, Settings(base.fingerprint, settings.first, settings.rank))
    metrics: dict[str, Any] = {"own lines": measured(tracker, valid)}
    if folder:
        metrics["belief states"] = measured(tracker, lines_of_states(folder, "valid", settings.seed)[:2000])
    tracker = Tracker(reader, Settings(base.fingerprint, settings.first, settings.rank, metrics))
    out.mkdir(parents=True, exist_ok=True)
    tracker.save(out / TRACKER)
    CARD.write(out, metrics, SOURCES, SETS if folder else ())
    return metrics


def lines_of_states(folder: Path, part: str, seed: int) -> list[TrackingLine]:
    """Turns of the belief states in a folder, in random order.

    Raises:
        DataError: it has none of SETS, or a file is damaged.
    """
    draw = random.Random(f"{seed} {part}")
    found = list[TrackingLine]()
    for name, share in SETS.items():
        path = folder / name / f"{part}.jsonl.gz"
        if not path.is_file():
            continue
        names = _names(folder) if name in UNNAMED else []
        dialogues = read_turns(path, names=names)
        domains = domains_of(read_turns(folder / name / "train.jsonl.gz") if part != "train" else dialogues)
        for own in domains.values():
            own.values["name"].update(names)
        values = {domain: values_of(own) for domain, own in domains.items()}
        for dialogue in dialogues:
            if draw.random() < share:
                found += [
                    line_of_turn(turn, domains[turn.domain], values[turn.domain], draw)
                    for turn in dialogue
                    if turn.domain in values
                ]
    if not found:
        raise DataError(f"{folder} has no NAME/{part}.jsonl.gz of {', '.join(SETS)}")
    draw.shuffle(found)
    return found


def _names(folder: Path) -> list[str]:
    path = folder / "multiwoz" / "train.jsonl.gz"
    return names_of(path, "restaurant") if path.is_file() else []


def learn(
    base: BertEncoder,
    own: Sequence[TrackingLine],
    states: Sequence[TrackingLine],
    settings: TrackerTraining,
    told: Told = lambda done, total, loss: None,
    start: Tracker | None = None,
) -> TrackerReader:
    """A reader after all passes; `told` hears of the steps done, their number and the loss. It goes on from `start`."""
    torch.manual_seed(settings.seed)
    reader = TrackerReader(base, settings.first, settings.rank) if start is None else start.reader()
    each = len(own) + min(len(states), settings.states)
    steps = settings.epochs * -(-each // settings.batch)

    def batches() -> Iterator[list[TrackingLine]]:
        for number in range(settings.epochs):
            draw = random.Random(f"{settings.seed} {number}")
            lines = [_shuffled(line, draw) for line in (*own, *draw.sample(states, min(len(states), settings.states)))]
            yield from in_batches(lines, lambda line: len(line.bot) + len(line.user), settings.batch, number)

    fit(reader, batches(), lambda lines: _loss(reader, lines), steps=steps, rate=settings.rate, told=told)
    return reader


def _shuffled(line: TrackingLine, draw: random.Random) -> TrackingLine:
    """With its columns in another order."""
    return replace(line, columns=tuple(draw.sample(line.columns, len(line.columns))))


def _loss(reader: TrackerReader, lines: Sequence[TrackingLine]) -> Tensor:
    batch = batch_of(reader.base, lines)
    weights = {name: w.to(training_type()) for name, w in reader.update.merged(reader.base.weights).items()}
    meanings, stances = reader(batch, weights)
    meant = [IGNORED if m.meaning is None else MEANINGS.index(m.meaning) for line in lines for m in line.marks]
    held = [STANCES.index(_stance(line, column)) for line in lines for column in columns_of(line)]
    values = F.cross_entropy(meanings, torch.tensor(meant, dtype=torch.long), ignore_index=IGNORED, reduction="sum")
    columns = F.cross_entropy(stances, torch.tensor(held, dtype=torch.long), reduction="sum")
    return (values + columns) / len(lines)


def _stance(line: TrackingLine, column: str) -> str:
    return "asked" if column in line.asked else "any" if column in line.any else "nothing"


def measured(tracker: Tracker, lines: Sequence[TrackingLine]) -> dict[str, float]:
    """Of lines: the share of values rightly understood, the F1 of each meaning and stance, and the share of messages
    that are right as a whole."""
    hits, said, right = Counter[str](), Counter[str](), Counter[str]()
    whole = sure = values = 0
    ordered = sorted(lines, key=lambda line: len(line.bot) + len(line.user))
    for start in range(0, len(ordered), 64):
        some = ordered[start : start + 64]
        for line, reading in zip(some, tracker.readings(some), strict=True):
            pairs = _pairs(line, reading)
            for wanted, found in pairs:
                right[wanted] += 1
                said[found] += 1
                hits[wanted] += wanted == found
            own = pairs[: sum(mark.meaning is not None for mark in line.marks)]
            values += len(own)
            sure += sum(wanted == found for wanted, found in own)
            whole += all(wanted == found for wanted, found in pairs)
    named = [name for name in (*MEANINGS, *STANCES[1:]) if right[name]]
    f1 = {f"F1 {name}": 2 * hits[name] / max(1, said[name] + right[name]) for name in named}
    return {"lines": len(lines), "messages": whole / max(1, len(lines)), "values": sure / max(1, values), **f1}


def _pairs(line: TrackingLine, reading: Reading) -> list[tuple[str, str]]:
    """What is right and what was read: of the values that are known first, then of the columns."""
    known = [
        (mark.meaning, found)
        for mark, found in zip(line.marks, reading.meanings, strict=True)
        if mark.meaning is not None
    ]
    read = {**dict.fromkeys(reading.asked, "asked"), **dict.fromkeys(reading.any, "any")}
    return [*known, *((_stance(line, column), read.get(column, "nothing")) for column in columns_of(line))]
