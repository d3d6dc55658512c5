"""What one turn makes, in the order in which it makes it: settings, choice, facts, prompt, drafts, reply."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from adapterbot.errors import SettingError, nearest, shorten
from adapterbot.facts import (
    Answer,
    Count,
    Event,
    Fact,
    Forecast,
    Nothing,
    Notice,
    Passage,
    PersonaLine,
    Row,
    Triple,
    Verdict,
)
from adapterbot.history import History

__all__ = [
    "DECODE_SETTINGS",
    "Answer",
    "Choice",
    "Count",
    "Decode",
    "Draft",
    "Event",
    "Evidence",
    "Fact",
    "Forecast",
    "Nothing",
    "Notice",
    "Passage",
    "PersonaLine",
    "Prompt",
    "Reply",
    "RoutedBy",
    "Row",
    "Triple",
    "Verdict",
]

# name: (type, lowest, highest, what it does); the ranges are inclusive.
DECODE_SETTINGS: dict[str, tuple[type, float, float, str]] = {
    "temperature": (float, 0.0, 5.0, "0 is greedy; below 1 safer, above 1 wilder"),
    "top_p": (float, 0.01, 1.0, "nucleus: sample from the likeliest tokens that hold this much probability"),
    "top_k": (int, 0, 1_000_000, "sample from the k likeliest tokens; 0 is off"),
    "repetition_penalty": (float, 1.0, 5.0, "above 1, tokens already in the reply become less likely"),
    "no_repeat_ngram": (int, 0, 20, "no n tokens in a row appear twice in the reply; 0 is off"),
    "min_tokens": (int, 0, 512, "the reply does not end before this many tokens"),
    "max_tokens": (int, 1, 512, "the reply ends after this many tokens at the latest"),
    "drafts": (int, 1, 32, "sample this many replies and keep the best"),
    "seed": (int, 0, 2**63 - 1, "the same seed gives the same reply"),
}


@dataclass(frozen=True, slots=True)
class Decode:
    """How a reply is sampled. Values outside `DECODE_SETTINGS` raise `SettingError`; nothing is clamped silently.

    `seed=None` draws a fresh seed per request. `max_tokens` is cut to what the model's positions leave free,
    and `top_k` to the vocabulary.
    """

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 0
    repetition_penalty: float = 1.1
    no_repeat_ngram: int = 4
    min_tokens: int = 1
    max_tokens: int = 50
    drafts: int = 1
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, (kind, low, high, meaning) in DECODE_SETTINGS.items():
            value = getattr(self, name)
            if value is None and name == "seed":
                continue
            object.__setattr__(self, name, _number(name, value, kind, low, high, meaning))
        if self.min_tokens > self.max_tokens:
            raise SettingError(f"min_tokens={self.min_tokens} is above max_tokens={self.max_tokens}")

    def override(self, changes: Mapping[str, Any]) -> Decode:
        """These settings with `changes` applied; `None` values keep what is there.

        Raises:
            SettingError: an unknown name or a value outside its range.
        """
        for name in changes:
            if name not in DECODE_SETTINGS:
                raise SettingError(
                    f"unknown decode setting {shorten(str(name))!r}; {nearest(str(name), DECODE_SETTINGS)}"
                )
        given = {k: v for k, v in changes.items() if v is not None}
        if "max_tokens" in given and "min_tokens" not in given and isinstance(given["max_tokens"], int):
            given["min_tokens"] = min(self.min_tokens, max(given["max_tokens"], 0))
        return dataclasses.replace(self, **given)


def _number(name: str, value: object, kind: type, low: float, high: float, meaning: str) -> float | int:
    shown = f"{name}={shorten(repr(value))}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SettingError(f"{shown} is not a number ({meaning})")
    if not low <= value <= high:
        raise SettingError(f"{shown} is outside {low:g} to {high:g} ({meaning})")
    if kind is int and int(value) != value:
        raise SettingError(f"{shown} is not a whole number ({meaning})")
    return int(value) if kind is int else float(value)


RoutedBy = Literal["forced", "manager", "fallback", "only", "care"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What of a source a message names or is answered by: `what`, in words, and how strongly, 0 to 1. What is the
    user's own (`own`) goes before what ships."""

    what: str
    strength: float = 1.0
    own: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Which skill answers, and why.

    `scores` holds a calibrated probability for every routable skill. `routed_by`: `forced` (the caller named the
    skill), `manager` (its score was high and clear enough), `fallback` (it was not), `only` (there is no trained
    manager, so the fallback answers), `care` (no skill answers: the message needs care, being of the kind `care`).
    `reason` says the same in a sentence for people.
    """

    skill: str
    scores: Mapping[str, float] = field(default_factory=dict)
    routed_by: RoutedBy = "forced"
    reason: str = ""
    care: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of facts and history; `labels` is -100 where no loss is taken. `dropped` says what did not fit.

    The tokens from `reply` on are the reply's: its facts if they stand there, what opens it, and its text.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...] = ()
    dropped: tuple[str, ...] = ()
    reply: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """One sampled reply. `logprob` is the mean log-probability per token; `finished` = it ended by itself."""

    text: str
    logprob: float = 0.0
    tokens: int = 0
    finished: bool = True
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the bot answered and everything that led to it. `timings` are seconds per stage.

    `prompt_tokens` are those of the prompt, 0 where no model answered; `cached_tokens` of them were read for an earlier
    prompt and not again.

    A message that needs care gets a fixed text, whatever skill was chosen: `routed_by` is then "care", `care` the kind
    (see `manager.care.KINDS`), and `skill` the one that was asked for, or the fallback.
    """

    text: str
    skill: str
    scores: Mapping[str, float] = field(default_factory=dict)
    routed_by: RoutedBy = "forced"
    reason: str = ""
    facts: tuple[Fact, ...] = ()
    drafts: tuple[Draft, ...] = ()
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    history: History = field(default_factory=History)
    seed: int | None = None
    care: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = field(default=0, compare=False)  # two equal requests differ in it

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that `adapterbot respond --json` prints."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain |= {"scores": dict(self.scores), "timings": dict(self.timings), "history": self.history.to_list()}
        plain["facts"] = [fact.to_dict() for fact in self.facts]
        plain["drafts"] = [dataclasses.asdict(draft) for draft in self.drafts]
        return plain
