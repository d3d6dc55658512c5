"""What the training commands show: what is learnt from, how it ended, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from adapterbot.cli.console import console
from adapterbot.cli.output import say
from adapterbot.errors import DataError

if TYPE_CHECKING:
    from adapterbot.spec.tables import SkillSpec
    from adapterbot.training.corpus import Corpus
    from adapterbot.training.skill import TrainingResult


def check_replaced(spec: SkillSpec, adapter: Path | None, data: str | None) -> None:
    """Raises DataError where the few samples alone would be learnt and would take the place of a trained `adapter`."""
    from adapterbot.training.corpus import only_samples, samples_file

    if adapter is None or not only_samples(spec, data):
        return
    with samples_file(spec).open("rb") as stream:
        count = sum(1 for line in stream if line.strip())
    raise DataError(
        f"no corpus was given: {spec.name!r} would learn from the {count} sample dialogues alone and replace its "
        f"trained adapter ({adapter}); give dialogues by --data (or ADAPTERBOT_CORPORA), or insist by --force"
    )


def show_corpus(corpus: Corpus, rows: int, tokens: int) -> None:
    """What a training learns from, plainly."""
    say(f"training on {corpus.origin}: {len(corpus.train):,} dialogues, {rows:,} windows, {tokens:,} tokens")
    if corpus.only_samples:
        say(
            "no corpus was given, so this learns from the few samples alone. For a good skill: "
            "--data FILE_OR_FOLDER, --data hub:NAME, or set ADAPTERBOT_CORPORA."
        )


def show_trained(trained: TrainingResult) -> None:
    """How the training ended, perplexity before and after, sample replies, and where the files are."""
    if trained.resumed_at:
        say(f"resumed at step {trained.resumed_at:,}")
    say(trained.ending)
    say(
        f"{trained.skill}: perplexity on validation replies {trained.before:.2f} before, {trained.after:.2f} after "
        f"({trained.bits_before:.3f} and {trained.bits_after:.3f} bits per byte; {trained.epochs} epochs, "
        f"{trained.tokens_per_second:,.0f} tokens/s, {trained.learnt_per_second:,.0f} of them of replies; "
        f"{trained.parameters:,} parameters, {trained.share:.1%} of the backbone's)"
    )
    for message, reply in trained.replies[:3]:
        say(f"  you: {message}\n  bot: {reply}")
    say(f"written to {trained.folder}; it is used from now on (delete adapter.safetensors there to undo)")


def show_scores(name: str, report: Mapping[str, Any]) -> None:
    """The plain figures of a report, one a line."""
    for key, value in report.items():
        if isinstance(value, float):
            say(f"{name}  {key}: {value:.4g}")
        elif isinstance(value, int | str):
            say(f"{name}  {key}: {value}")


@contextmanager
def steps_bar(name: str) -> Iterator[Callable[[int, int, float], None]]:
    """A bar over the steps of a training; what it gives is told the steps done, the steps in all and the loss."""
    with Progress(*Progress.get_default_columns(), console=console) as bar:
        task = bar.add_task(name, total=None)

        def told(done: int, total: int, loss: float) -> None:
            bar.update(task, completed=done, total=total, description=f"{name}, loss {loss:.2f}")

        yield told
