"""3 · What a person wants to know of a calendar: which days, which event, or to change something."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from difflib import SequenceMatcher
from itertools import pairwise

from adapterbot.history import History
from adapterbot.language.dates import PARTS, Span, listed, read_days
from adapterbot.language.words import CLITIC, STOP, WORD

OLDER = 2  # how many earlier user turns a follow-up may refer to
MAX_WORDS = 16
MAX_CHARACTERS = 2_000  # of a message that are looked at
SHORT = 5  # words of a follow-up such as "and what about Friday?"
CLOSE = 0.84  # likeness of a mistyped word to the right one

# Words that ask about a calendar as such; with no other word the answer is whatever comes next.
GENERAL = frozenset(
    listed("""
    calendar schedule scheduled event events appointment appointments plan plans planned agenda upcoming next
    coming anything something nothing todo""")
)
# Words that ask whether there is time; what for does not matter then.
FREE = frozenset(listed("free busy available availability conflict conflicts"))
# Words about an event that do not say which.
WEAK = (
    GENERAL
    | FREE
    | frozenset(PARTS)
    | frozenset(
        listed("""
    activity activities session sessions reservation booking time times date dates day days week weeks weekend month
    year room location place address where who party people person attend attends attending attendees guest guests
    join joining invited reminder reminders remind start starts starting begin begins end ends ending finish long
    duration happen happens happening open slot slots check look tell show list read remember forget entry entries
    item items detail details information info later soon early earliest late latest first last previous following
    whole entire full busy big important special other noon midnight pm am clock hour hours minute minutes work
    many number today tomorrow hold scheduled need supposed two three four five six""")
    )
)
# Events by their usual names: whoever asks for one of these wants no other.
EVENTS = frozenset(
    listed("""
    meeting dentist doctor dinner lunch breakfast brunch yoga gym workout training football soccer tennis swimming
    swim basketball conference interview haircut hairdresser birthday anniversary wedding party flight train trip
    vacation holiday concert movie cinema theater theatre opera class lesson course lecture exam optometrist optician
    checkup vet physio therapy massage medicine pills lab call standup review retro sync presentation workshop
    seminar webinar deadline picnic barbecue coffee date game match practice rehearsal recital choir church mass
    parent school pickup delivery plumber mechanic inspection service appointment activity team weekly daily monthly
    annual budget planning quarterly project sprint report garden book club run running hike bike market museum
    visit cleaning rent bill tax""")
)
# One thing under several names.
ALIKE = tuple(
    frozenset(group.split())
    for group in (
        "meeting meet sync standup call conference review retro interview planning briefing catchup",
        "dentist dental hygienist teeth",
        "doctor dr physician gp checkup clinic",
        "birthday bday",
        "gym workout training fitness",
        "football soccer",
        "flight fly plane airport",
        "movie cinema film",
        "optometrist optician eye",
        "medicine medication pills prescription",
        "dinner supper",
        "class lesson course lecture",
        "trip travel vacation holiday",
        "haircut hairdresser barber salon",
        "mom mum mother",
        "dad father",
    )
)
AFTER = frozenset(listed("my the a an any our with"))  # a word after one of these names what is asked for
AGAIN = re.compile(r"^\W*(?:and|or|what about|how about|also|then)\b", re.I)
PAST = re.compile(r"\b(?:last|was|were|did|had|went|ago|previous)\b", re.I)
LAST = re.compile(r"\b(?:last|latest)\b", re.I)
POLITE = (
    r"(?:(?:please|hey|hi|hello|ok|okay|and|also|then|so|just|now|can|could|would|will|you|i|we|i'd|need|want|like|have"
    r"|let's|to|thanks|great|go|ahead)\W+)*"
)
CHANGE = re.compile(
    rf"(?:^|[.!?;,]\s*){POLITE}(?:"
    r"(?:add|create|put|book|cancel|delete|remove|erase|clear|move|reschedule|postpone|change|rename|invite|enter|save"
    r"|make|mark|set|update|shift|push)\s+\w"
    r"|schedule\s+(?!for\b|today\b|tonight\b|tomorrow\b|this\b|next\b|on\b|look|please\b|is\b|like\b|in\b)\w"
    r"|remind\s+me\s+(?:to|about|of|that|at|on|in|tomorrow|later)\b)"
    r"|\b(?:add|put)\b.{1,80}\b(?:to|on|in|into)\s+(?:my|the)\s+(?:calendar|schedule|agenda)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Question:
    """Days and words of one user turn. An event has to have all words of `strong`.

    `general`: it asks about the calendar as such. `past`: about what has been. `last`: the last of a day comes first.
    """

    spans: tuple[Span, ...] = ()
    words: tuple[str, ...] = ()
    strong: frozenset[str] = frozenset()
    general: bool = False
    past: bool = False
    last: bool = False

    def fit(self, names: Iterable[str]) -> float:
        """How well the words name an event with these `names`: above 0 for one that it may be, 0 for any other."""
        known = name_words(names)
        found = {word: max((_alike(word, name) for name in known), default=0.0) for word in self.words}
        return sum(found.values()) if all(found[word] for word in self.strong) else 0.0


def asks_for_change(text: str) -> bool:
    """Whether somebody wants an event added, moved or deleted."""
    return bool(CHANGE.search(text[:MAX_CHARACTERS]))


def read_question(text: str, today: date) -> Question:
    """What one message asks."""
    text = text[:MAX_CHARACTERS]
    spans, rest = read_days(text, today)
    said = [CLITIC.sub("", word) for word in WORD.findall(rest.lower())]
    general = bool((GENERAL | FREE) & set(said))
    past = bool(PAST.search(rest))
    last = bool(LAST.search(rest))
    if FREE & set(said):
        return Question(tuple(spans), general=True, past=past, last=last)
    content = [w for w in said if w not in STOP and w not in WEAK and not re.fullmatch(r"\d+(?:[ap]m)?", w)]
    named = {word for before, word in pairwise(said) if before in AFTER}
    words = tuple(dict.fromkeys(content))[:MAX_WORDS]
    strong = frozenset(w for w in words if w in named or _stem(w) in EVENTS or w in EVENTS)
    return Question(tuple(spans), words, strong, general, past, last)


def read_questions(history: History, today: date) -> list[Question]:
    """Questions to try in turn: the newest user turn, then those before it that it may refer to."""
    said = [u.text for u in history if u.speaker == "user"]
    if not said:
        return []
    newest = read_question(said[-1], today)
    before = [q for q in (read_question(text, today) for text in reversed(said[-1 - OLDER : -1])) if q != Question()]
    if newest.words:
        return [newest] if newest.strong or newest.spans else [newest, *before]
    if newest.spans:
        follows = AGAIN.match(said[-1]) or (len(said[-1].split()) <= SHORT and not newest.general)
        named = next((q for q in before if q.words), None) if follows else None
        return ([replace(newest, words=named.words, strong=named.strong)] if named else []) + [newest]
    return [newest] if newest.general else before


def name_words(names: Iterable[str]) -> frozenset[str]:
    """The words of titles and names, lower case and without endings."""
    return frozenset(_stem(CLITIC.sub("", word)) for name in names for word in WORD.findall(name.lower()))


def _alike(word: str, name: str) -> float:
    """1 for the same word, less for another name, form or spelling of it, else 0. `name` is a stem."""
    stem = _stem(word)
    if stem == name:
        return 1.0
    if min(len(stem), len(name)) >= 4 and (stem.startswith(name) or name.startswith(stem)):
        return 0.8
    if any(stem in group and name in group for group in ALIKE):
        return 0.6
    if min(len(stem), len(name)) >= 5 and SequenceMatcher(None, stem, name).ratio() >= CLOSE:
        return 0.4
    return 0.0


def _stem(word: str) -> str:
    """`word` without a plural s."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
