"""Dialogues from frames of our own: a question whose answer stands in facts that were made up on the spot.

No name in them can be known by heart, so all that a model can learn from them is to look into its facts and to copy.
The frames are in `data/samples/`: `frames.json` for backbones and skills, `skill_frames.json` for skills alone.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from adapterbot.data.dialogue import Dialogue, DialogueTurn
from adapterbot.home import DATA
from adapterbot.language.dates import DAYS
from adapterbot.training.made_up_names import made_up_word

FRAMES = DATA / "samples" / "frames.json"
OF_SKILLS = DATA / "samples" / "skill_frames.json"
FRAME = "frame-"  # how the id of such a dialogue starts
SLOT = re.compile(r"\{(\w+)\}")
CASUAL = 0.3  # of the questions come in lower case without a mark at the end
SHUFFLED = 0.3  # of the facts of the kinds in NEAR stand in any order
ALONE = 0.4  # of the questions come with the one fact that answers them
# Sentences, table rows and forecast rows, with the share of each that a backbone reads.
KINDS = {"fact": 0.5, "row": 0.15, "forecast": 0.35}
NEAR = {"triple": 1.0, "event_row": 1.0}  # kinds of OF_SKILLS, whose frames bring their own further facts


def frame_dialogues(
    count: int, seed: int | str, kinds: Sequence[str] = tuple(KINDS), most: int = 4
) -> Iterator[Dialogue]:
    """`count` dialogues of one question and one grounded answer, drawn by `seed`.

    `kinds` are some of KINDS and NEAR, and an answer has at most `most` facts.
    """
    frames = json.loads(FRAMES.read_text(encoding="utf-8")) | json.loads(OF_SKILLS.read_text(encoding="utf-8"))
    shares = KINDS | NEAR
    for i in range(count):
        draw = random.Random(f"{seed} frame {i}")
        (kind,) = draw.choices(kinds, [shares[k] for k in kinds])
        make = _near if kind in NEAR else _forecast if kind == "forecast" else _lookup
        facts, ask, tell = make(frames, kind, most, draw)
        if draw.random() < CASUAL:
            ask = ask.lower().rstrip("?.")
        answer = DialogueTurn("system", tell[:1].upper() + tell[1:], tuple(facts))
        yield Dialogue(f"{FRAME}{i}", (DialogueTurn("user", ask), answer))


def _lookup(frames: Mapping[str, Any], kind: str, most: int, draw: random.Random) -> tuple[list[str], str, str]:
    """One fact that answers, and up to three others around it."""
    chosen, *others = draw.sample(frames[kind], min(most, 1 if draw.random() < ALONE else draw.choice((2, 3, 4))))
    values = _Values(frames, draw)
    facts = [values.fill(chosen["fact"]), *(_Values(frames, draw).fill(other["fact"]) for other in others)]
    draw.shuffle(facts)
    return facts, values.fill(draw.choice(chosen["ask"])), values.fill(draw.choice(chosen["tell"]))


def _near(frames: Mapping[str, Any], kind: str, most: int, draw: random.Random) -> tuple[list[str], str, str]:
    """The facts that answer, and perhaps others about the same thing after or around them."""
    frame = draw.choice(frames[kind])
    values = _Values(frames, draw)
    others = draw.sample(frame["others"], draw.randint(0, len(frame["others"])))
    facts = [values.fill(fact) for fact in [*frame["facts"], *others][:most]]
    if draw.random() < SHUFFLED:
        draw.shuffle(facts)
    return facts, values.fill(draw.choice(frame["ask"])), values.fill(draw.choice(frame["tell"]))


def _forecast(frames: Mapping[str, Any], kind: str, most: int, draw: random.Random) -> tuple[list[str], str, str]:
    """Forecast rows, as the weather skill gives them, and a question about one day in one of them."""
    frame = draw.choice(frames[kind])
    today = draw.randrange(7)
    count = 1 if "alone" in frame else min(most, draw.choice((1, 1, 1, 2, 3)))
    places = [_Values(frames, draw)["place"] for _ in range(count)]
    skies = {place: [draw.choice(frames["sky"]) for _ in DAYS] for place in places}
    lows = {place: [draw.randint(15, 80) for _ in DAYS] for place in places}
    highs = {place: [low + draw.randint(5, 20) for low in lows[place]] for place in places}
    place = draw.choice(places)
    day = draw.randrange(7)
    sky = skies[place][day]
    for row in skies.values():  # one place has this sky on that day, so that "where" has one answer
        while row is not skies[place] and row[day] == sky:
            row[day] = draw.choice(frames["sky"])
    low = lows[place][day]
    high = highs[place][day]
    other = draw.choice([s for s in frames["sky"] if s != sky])
    elsewhere = _Values(frames, draw)["place"]
    known = {"place": place, "sky": sky, "other": other, "low": str(low), "high": str(high), "elsewhere": elsewhere}
    said = {0: "today", 1: "tomorrow"}.get((day - today) % 7, DAYS[day].capitalize())
    ask = draw.choice(frame["ask"])
    tell = draw.choice(frame["tell"])
    rows = [
        f"location: {p.lower()}, "
        + ", ".join(f"{d}: {skies[p][i]}, low of {lows[p][i]}F, high of {highs[p][i]}F" for i, d in enumerate(DAYS))
        + f", today: {DAYS[today]}"
        for p in places
    ]
    draw.shuffle(rows)
    values = _Values(frames, draw, day=said, **known)
    ask, tell = (text.replace("on {day}", "{day}") if said.islower() else text for text in (ask, tell))
    return rows, values.fill(ask), values.fill(tell)


class _Values(dict[str, str]):
    """What stands in the slots of one frame; a slot that is asked for the first time is drawn."""

    def __init__(self, lists: Mapping[str, Any], draw: random.Random, **known: str) -> None:
        super().__init__(known)
        self._lists = lists
        self._draw = draw

    def __missing__(self, slot: str) -> str:
        kind = slot.rstrip("0123456789")
        drawn = _DRAWN[kind](self._draw) if kind in _DRAWN else self._of(kind)
        self[slot] = drawn
        return drawn

    def _of(self, kind: str) -> str:
        if kind == "work":
            pair = [self._draw.choice(self._lists[part]) for part in ("adjective", "noun")]
            return " ".join(["The", *pair]) if self._draw.random() < 0.6 else f"{pair[1]} of {_name(self._draw)}"
        return str(self._draw.choice(self._lists[kind]))

    def fill(self, text: str) -> str:
        """`text` with every slot filled."""
        return SLOT.sub(lambda m: self[m[1]], text)


def _name(draw: random.Random) -> str:
    return made_up_word(draw).capitalize()


def _place(draw: random.Random) -> str:
    more = draw.choice(["", "", "", "New ", "Port ", "Upper ", "Saint "])
    return more + _name(draw) + draw.choice(["", "", "", " Falls", " Bay", " Hill", " City"])


def _digits(*sizes: int) -> Callable[[random.Random], str]:
    return lambda draw: str(draw.randint(10 ** ((size := draw.choice(sizes)) - 1), 10**size - 1))


def _time(draw: random.Random) -> str:
    return f"{draw.randint(1, 12)}:{draw.randrange(0, 60, 5):02}" + draw.choice(["", "", "am", "pm"])


_DRAWN: Mapping[str, Callable[[random.Random], str]] = {
    "name": lambda draw: " ".join(_name(draw) for _ in range(draw.choice((1, 1, 2)))),
    "first": _name,
    "person": lambda draw: f"{_name(draw)} {_name(draw)}",
    "place": _place,
    "thing": made_up_word,
    "code": lambda draw: f"TR{draw.randint(1000, 9999)}",
    "day": lambda draw: draw.choice(DAYS).capitalize(),
    "time": _time,
    "hour": lambda draw: str(draw.randint(4, 10)),
    "few": lambda draw: str(draw.randint(2, 9)),
    "year": lambda draw: str(draw.randint(1700, 2022)),
    "number": _digits(2, 3, 4),
    "thousands": _digits(2, 3),
    "phone": _digits(9, 10, 11),
}
