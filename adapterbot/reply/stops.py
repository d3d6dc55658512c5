"""6 · Stop texts: a reply ends before the first of them, and a stream shows no half of one."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace

from adapterbot.errors import SettingError
from adapterbot.reply.answer import Answer

MOST = 16  # texts that are looked for
Stops = str | Sequence[str] | None


def stops_of(given: Stops) -> tuple[str, ...]:
    """The texts before which a reply ends; empty ones end nothing.

    Raises:
        SettingError: no texts, or more than `MOST`.
    """
    texts = (given,) if isinstance(given, str) else tuple(given or ())
    if len(texts) > MOST or not all(isinstance(text, str) for text in texts):
        raise SettingError(f"stop is a text, or a list of at most {MOST}; a reply ends before the first of them")
    return tuple(text for text in texts if text)


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """`text` up to the earliest of `stops`, and whether there was one.

    >>> cut("one. two.", [".", "two"])
    ('one', True)
    """
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


class Stopper:
    """Passes the pieces of a text on, and keeps back what may be the beginning of a stop."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._kept = ""
        self.stopped = False

    def more(self, piece: str) -> str:
        """What can be shown now; nothing after a stop."""
        if self.stopped:
            return ""
        text, self.stopped = cut(self._kept + piece, self._stops)
        held = 0 if self.stopped else max((self._overlap(text, stop) for stop in self._stops), default=0)
        self._kept = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> str:
        """What was kept back and turned out to be no stop."""
        kept, self._kept = self._kept, ""
        return "" if self.stopped else kept

    @staticmethod
    def _overlap(text: str, stop: str) -> int:
        """How many characters at the end of `text` begin `stop`."""
        return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


def until(stream: Generator[str, None, Answer], stops: Sequence[str]) -> Generator[str, None, Answer]:
    """`stream` up to the first of `stops`, which closes it: what would have followed is never made.

    The pieces make up the text of the Answer; one that a stop ended in its middle has no drafts.
    """
    started = time.perf_counter()
    stopper = Stopper(stops)
    text = ""
    with closing(stream):
        while True:
            try:
                piece = next(stream)
            except StopIteration as end:
                answer: Answer = end.value
                break
            shown = stopper.more(piece)
            text += shown
            yield shown
            if stopper.stopped:
                return Answer(text, (), timings={"generate": time.perf_counter() - started})
    if rest := stopper.rest():
        yield rest
    return answer  # its text is what was shown, or was refused half-way


def cut_answer(answer: Answer, stops: Sequence[str]) -> Answer:
    """An answer whose text ends before the first of `stops`."""
    return replace(answer, text=cut(answer.text, stops)[0]) if stops else answer
