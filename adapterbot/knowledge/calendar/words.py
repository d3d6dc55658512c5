"""3 · The words by which events are asked for: what they are usually called, and which words say nothing of which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from difflib import SequenceMatcher
from functools import lru_cache

from adapterbot.language.dates import PARTS, listed, read_days
from adapterbot.language.tokens import Token, split
from adapterbot.language.words import STOP

CLOSE = 0.84  # likeness of a mistyped word to the right one
LONGEST = 60  # words of a title that are looked at
TRIED = date(2026, 1, 1)  # any day will do to see whether words are a date

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
    many number hold scheduled need supposed over done looking happened weekday current""")
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


def word_of(token: Token) -> str:
    """A token as events are found by it: "second" and "2nd" are one word."""
    return token.text if token.number is None else f"#{token.number}"


@lru_cache(maxsize=8192)
def title_words(name: str) -> frozenset[str]:
    """The words of a title or a name, lower case and without endings."""
    return frozenset(stem(word_of(token)) for token in split(name)[:LONGEST] if token.text[0].isalnum())


def name_words(names: Iterable[str]) -> frozenset[str]:
    """The words of several."""
    return frozenset().union(*map(title_words, names))


def titled(text: str, tokens: Sequence[Token], titles: Iterable[str]) -> list[Token]:
    """The tokens that stand in a title's words and would be read as dates, times or numbers outside it.

    At least one of them says something else than when: "the night shift", "Sunday roast", "Physics 101".
    """
    stems = [stem(word_of(token)) for token in tokens]
    found = list[Token]()
    for known in {title_words(title) for title in titles}:
        start = 0
        while start < len(tokens):
            end = start
            while end < len(tokens) and stems[end] in known:
                end += 1
            run = tokens[start:end]
            if len(run) > 1 and _dates_and_more(text[run[0].start : run[-1].end], run):
                found += run
            start = max(end, start + 1)
    return found


def _dates_and_more(text: str, run: Sequence[Token]) -> bool:
    spans, left = read_days(text, TRIED)
    when = bool(spans) or any(token.number is not None for token in run)
    more = any(t.number is None and t.text not in STOP for t in split(left))
    return when and more


def alike(word: str, name: str) -> float:
    """1 for the same word, less for another name, form or spelling of it, else 0. `name` is a stem."""
    root = stem(word)
    if root == name:
        return 1.0
    if any(c.isdigit() for c in word + name):  # 101 is not 102
        return 0.0
    if min(len(root), len(name)) >= 4 and (root.startswith(name) or name.startswith(root)):
        return 0.8
    if any(root in group and name in group for group in ALIKE):
        return 0.6
    if min(len(root), len(name)) >= 5 and SequenceMatcher(None, root, name).ratio() >= CLOSE:
        return 0.4
    return 0.0


def stem(word: str) -> str:
    """`word` without a plural s."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
