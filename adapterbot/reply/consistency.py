"""6 · Whether a draft goes with what the bot says of itself: the lines of its persona, and what it said before.

A judge that learnt entailment decides (Welleck et al. 2019, arXiv 1811.00671, re-rank a persona's replies so). What a
person wrote about the bot rules: where every draft contradicts a line, that line is the reply.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from adapterbot.errors import MissingPartError, WeightsError
from adapterbot.facts import Fact, PersonaLine
from adapterbot.history import History
from adapterbot.language.sentences import split_sentences
from adapterbot.turn import Draft

if TYPE_CHECKING:  # torch
    from adapterbot.manager.judge import Judge

SELF = "contradicts oneself"  # as manager.judge has it, which loads torch
SAID = 4  # sentences of its own that a bot is held to, the newest; older ones are rarely in the prompt


def shipped_judge() -> Judge:
    """The judge that ships; see `manager.judge.load_judge`."""
    from adapterbot.manager import judge

    return judge.shipped_judge()


class Consistency:
    """Puts drafts that contradict what the bot is last. Safe to use from several threads.

    The judge is read when it is first needed. One that cannot be read contradicts nothing, which `fault` tells.
    """

    def __init__(self, load: Callable[[], Judge] = shipped_judge) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._read: list[tuple[Judge | None, str]] = []  # with what is wrong with it, once it was asked for

    @property
    def judge(self) -> Judge | None:
        """The trained judge, or None where it cannot be read."""
        return self._loaded()[0]

    @property
    def fault(self) -> str:
        """What keeps it from judging, else empty."""
        return self._loaded()[1]

    def first(self, drafts: Sequence[Draft], facts: Sequence[Fact], history: History) -> list[Draft]:
        """The drafts from the first one on that contradicts no line of the persona and nothing that was said before;
        those that do go last.

        Where each contradicts a line of the persona, the line that the best one contradicts comes first.
        """
        lines = [fact.line for fact in facts if isinstance(fact, PersonaLine)]
        if not lines or self.judge is None:
            return [*drafts]
        earlier = own_statements(history)[-SAID:]
        held = [*lines, *(text for text in earlier if text not in lines)]
        against = list[str]()
        for number, draft in enumerate(drafts):  # one by one: mostly the first fits, and the others cost as much each
            line = contradicted(self.judge, draft.text, held, history.last_user)
            if not line:
                return [*drafts[number:], *drafts[:number]]
            against.append(line)
        return [Draft(against[0]), *drafts] if against and against[0] in lines else [*drafts]

    def _loaded(self) -> tuple[Judge | None, str]:
        with self._lock:
            if not self._read:
                try:
                    self._read.append((self._load(), ""))
                except (MissingPartError, WeightsError) as error:
                    self._read.append((None, f"replies are not held to the persona: {error}"))
            return self._read[0]


def own_statements(history: History) -> list[str]:
    """The sentences of the bot that are no questions, oldest first."""
    said = (sentence for u in history if u.speaker == "bot" for sentence in split_sentences(u.text))
    return [sentence for sentence in said if not sentence.endswith("?")]


def contradicted(judge: Judge, draft: str, held: Sequence[str], asked: str) -> str:
    """The line of `held` that a draft contradicts most surely as an answer to what was `asked`, or empty."""
    judged = judge.judge([(line, stated(asked, draft)) for line in held])
    surest = max(range(len(held)), key=lambda i: judged[i].contradicts)
    return held[surest] if judged[surest].contradicts >= judge.settings.thresholds[SELF] else ""


def stated(asked: str, draft: str) -> str:
    """What a draft says: "Yes, I do" says nothing without the question before it."""
    questions = [sentence for sentence in split_sentences(asked) if sentence.endswith("?")]
    return " ".join([*questions[-1:], draft])
