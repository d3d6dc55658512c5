"""6 · What is answered in place of a skill when a message needs care, and what a model hears of it afterwards.

All texts are in care.toml; nothing is generated.
"""

from __future__ import annotations

import functools
import os
import re
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterbot.errors import MissingPartError, SettingError, WeightsError, shorten
from adapterbot.history import History, Utterance
from adapterbot.manager.care import TURNS, Care

if TYPE_CHECKING:  # torch
    from adapterbot.manager.care_head import CareHead

TEXTS = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True)
class CareAnswer:
    """What is said to a message of one kind, and why."""

    reason: str
    first: str
    again: str
    user: str
    bot: str

    @property
    def beginnings(self) -> tuple[str, ...]:
        """How its texts begin, up to the first number."""
        return tuple(text.partition("{")[0] for text in (self.first, self.again))


@dataclass(frozen=True, slots=True)
class Region:
    """A country's numbers, as parts of a sentence."""

    name: str
    emergency: str
    crisis: str
    abuse: str
    child: str


@dataclass(frozen=True, slots=True)
class CareTexts:
    """The answers by kind, and the numbers by country (ISO 3166-1 alpha-2)."""

    answers: Mapping[str, CareAnswer]
    regions: Mapping[str, Region]
    elsewhere: Region
    refused: str

    @classmethod
    def read(cls, path: Path = TEXTS) -> CareTexts:
        """The texts of a file in the form of care.toml."""
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(
            {kind: CareAnswer(**texts) for kind, texts in raw["answers"].items()},
            {code: Region(**numbers) for code, numbers in raw["regions"].items()},
            Region(**raw["elsewhere"]),
            raw["refused"]["text"],
        )

    def answer(self, kind: str, history: History, region: str = "") -> str:
        """What is said to a message of `kind` after `history`, with the numbers of a region."""
        told = self.told(history)
        texts = self.answers[kind]
        numbers = self.regions.get(region, self.elsewhere)
        chosen = texts.again if told == kind else texts.first
        return chosen.format(
            emergency=numbers.emergency, crisis=numbers.crisis, abuse=numbers.abuse, child=numbers.child
        )

    def told(self, history: History) -> str:
        """The kind of the answer that the bot gave last, empty where it was none of these."""
        last = next((u.text for u in reversed(history.utterances) if u.speaker == "bot"), "")
        return self.kind_of(last)

    def kind_of(self, text: str) -> str:
        """The kind whose answer a text of the bot is, or empty."""
        return next((kind for kind, texts in self.answers.items() if text.startswith(texts.beginnings)), "")

    def heard(self, history: History) -> History:
        """The conversation as a language model hears it: a turn that got care, and its answer, summed up neutrally."""
        heard = list[Utterance]()
        for utterance in history:
            kind = self.kind_of(utterance.text) if utterance.speaker == "bot" else ""
            if kind:
                texts = self.answers[kind]
                if heard and heard[-1].speaker == "user":
                    heard[-1] = Utterance("user", texts.user)
                heard.append(Utterance("bot", texts.bot, utterance.skill))
            else:
                heard.append(utterance)
        return replace(history, utterances=tuple(heard))


def shipped_head() -> CareHead:
    """The care head that ships; see `manager.care_head.load_care`."""
    from adapterbot.manager import care_head

    return care_head.shipped_head()


class Carer:
    """Notices messages that need care and answers them; judges drafts. Safe to use from several threads.

    The head is read when it is first needed. One that cannot be read notices nothing, which `fault` tells, and every
    reply with it.
    """

    def __init__(self, load: Callable[[], CareHead] = shipped_head, texts: CareTexts | None = None) -> None:
        self.texts = texts or shipped_texts()
        self._load = load
        self._lock = threading.Lock()
        self._read: list[tuple[CareHead | None, str]] = []  # with what is wrong with it, once it was asked for

    @property
    def head(self) -> CareHead | None:
        """The trained head, or None where it cannot be read."""
        return self._loaded()[0]

    @property
    def fault(self) -> str:
        """What keeps it from noticing anything, else empty."""
        return self._loaded()[1]

    def notice(self, message: str, history: History) -> Care:
        """What `message`, said after `history`, needs."""
        before = [u.text for u in history if u.speaker == "user"][-TURNS:]
        return self.head.message([*before, message]) if self.head else Care()

    def harms(self, draft: str, said: Sequence[str]) -> bool:
        """Whether `draft` would do harm as an answer to what the user `said`, oldest first."""
        return self.head is not None and self.head.harms(draft, said)

    def _loaded(self) -> tuple[CareHead | None, str]:
        with self._lock:
            if not self._read:
                try:
                    self._read.append((self._load(), ""))
                except (MissingPartError, WeightsError) as error:
                    self._read.append((None, f"messages that need care are not noticed: {error}"))
            return self._read[0]


@functools.cache
def shipped_texts() -> CareTexts:
    """The texts of care.toml."""
    return CareTexts.read()


def region_named(code: str) -> str:
    """A country's code in capitals.

    Raises:
        SettingError: it is not two letters.
    """
    if not re.fullmatch(r"[A-Za-z]{2}", code):
        raise SettingError(f"region={shorten(code)!r} is no country's code of two letters, such as GB")
    return code.upper()


def region_of(language: str) -> str:
    """The country in a language tag such as `en-GB` or `de_AT.UTF-8`, or empty."""
    found = re.match(r"[A-Za-z]{2,3}(?:[-_][A-Za-z]{4})?[-_]([A-Za-z]{2})(?![A-Za-z])", language.strip())
    return found[1].upper() if found else ""


def region_here(environment: Mapping[str, str] = os.environ) -> str:
    """The country of this process's locale, or empty."""
    names = (environment.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return region_of(next((name for name in names if name), ""))
