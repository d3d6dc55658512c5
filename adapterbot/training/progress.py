"""The progress bar of a training: steps, loss, validation and speed."""

from __future__ import annotations

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


def training_bar(
    name: str, measure: str, *, total: int, completed: int, valid: float | None, disable: bool
) -> Progress:
    """A bar with one task called `name`, whose fields `loss`, `valid` and `speed` are texts.

    `measure` is what validation is measured in, and `valid` its last value, if there is one.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("step {task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn(measure + " {task.fields[valid]}"),
        TextColumn("{task.fields[speed]} tokens/s"),
        TimeRemainingColumn(),
        disable=disable,
    )
    last = "-" if valid is None else f"{valid:.3f}"
    bar.add_task(name, total=total, completed=completed, loss="-", speed="-", valid=last)
    return bar
