"""2 · What people say of themselves, asked and answered: pairs of a line of a persona and a question with its reply.

Sets of sentence pairs have no "Yes, I do": what that says stands in the question. The forms are ours.
"""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

from adapterbot.home import DATA
from adapterbot.manager.judge import CONTRADICTS, ENTAILS, NEITHER
from adapterbot.manager.training.pairs import Pair

FORMS = DATA / "judge" / "self_told.json"
SMALL_TALK = 0.3  # how often a reply goes on with something that says nothing of it


@cache
def _forms() -> dict[str, Any]:
    return dict(json.loads(FORMS.read_text(encoding="utf-8")))


def self_told(draw: random.Random) -> Pair:
    """One pair: of attitudes and possessions, said and asked by yes or no, or of what can only be one thing."""
    return _yes_or_no(draw) if draw.random() < 0.65 else _only_one(draw)


def _yes_or_no(draw: random.Random) -> Pair:
    form = draw.choice(_forms()["yes or no"])
    thing, other = draw.sample(form["things"], 2)
    has, says = draw.random() < 0.5, draw.random() < 0.5
    is_other = draw.random() < 0.25
    asked = other if is_other else thing
    line = draw.choice(form["yes" if has else "no"]).format(thing)
    short = _forms()["short yes" if says else "short no"]
    told = draw.choice(form["yes" if says else "no"]).format(asked)
    word = "Yes" if says else "No"
    reply = draw.choice([draw.choice(short), f"{word}, {_lower(told)}", told])
    if "not" in line.split() and draw.random() < 0.2:
        line = line.replace(" not ", " ")
        has = True
    statement = f"{form['ask'].format(asked)} {reply}" if reply != told or draw.random() < 0.5 else told
    label = NEITHER if is_other else ENTAILS if has == says else CONTRADICTS
    return Pair(_among(line, draw), _and_more(statement, draw), (label,))


def _only_one(draw: random.Random) -> Pair:
    """Where one lives, how old one is: two different answers cannot both be so."""
    form = draw.choice(_forms()["only one"])
    thing, other = draw.sample(form["things"], 2)
    line = draw.choice(form["said"]).format(thing)
    kind = draw.randrange(4)
    if kind == 3:  # another question
        unlike = draw.choice([one for one in _forms()["only one"] if one is not form])
        reply = draw.choice(unlike["said"]).format(draw.choice(unlike["things"]))
        return Pair(_among(line, draw), _and_more(f"{unlike['ask']} {reply}", draw), (NEITHER,))
    same = kind == 0
    reply = draw.choice(form["said"]).format(thing if same else other)
    statement = f"{form['ask']} {reply}" if draw.random() < 0.6 else reply
    return Pair(_among(line, draw), _and_more(statement, draw), (ENTAILS if same else CONTRADICTS,))


def _lower(text: str) -> str:
    return text if text.startswith(("I ", "I'")) else text[0].lower() + text[1:]


def _among(line: str, draw: random.Random) -> str:
    return line.lower() if draw.random() < 0.3 else line


def _and_more(statement: str, draw: random.Random) -> str:
    if draw.random() < SMALL_TALK:
        statement += " " + draw.choice(_forms()["small talk"])
    return statement.lower() if draw.random() < 0.2 else statement
