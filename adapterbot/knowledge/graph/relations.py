"""3 · What relations mean: the kinds of thing at their ends, and the words by which people ask for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

FILM = "film"
BOOK = "book"
MUSIC = "music"
PERSON = "person"
GENRE = "genre"

# relation (lower case, spaces): kinds of its subject and its object; "" where it tells nothing
ROLES: dict[str, tuple[str, str]] = {
    "directed by": (FILM, PERSON),
    "starred actors": (FILM, PERSON),
    "music by": (FILM, PERSON),
    "written by": (BOOK, PERSON),
    "composer": (MUSIC, PERSON),
    "lyricist": (MUSIC, PERSON),
    "recorded by": (MUSIC, PERSON),
    "produced by": ("", PERSON),
    "has genre": ("", GENRE),
    "musical genre": (PERSON, GENRE),
    "sport played": (PERSON, GENRE),
    "member of": (PERSON, PERSON),
    "player": ("", PERSON),
    "player statistics": ("", PERSON),
    "position(s)": (PERSON, ""),
    "place of birth": (PERSON, ""),
    "country of nationality": (PERSON, ""),
    "team coached": (PERSON, ""),
    "instrument played": (PERSON, ""),
    "sibling": (PERSON, PERSON),
    "has person": ("", PERSON),
}
# Where relations disagree, the first in this order wins: a film that a book's author wrote is a film.
RANKS = (FILM, MUSIC, PERSON, BOOK, GENRE, "")
# What asks for a relation besides its own words; "who+in" is both of them.
CUES: dict[str, str] = {
    "directed by": "filmmaker made",
    "starred actors": "actor actress cast appear role play plays played playing acting acted who+in",
    "written by": "author write writes writing wrote novelist screenwriter screenplay penned",
    "has genre": "kind sort style category",
    "release year": "when year released published come+out came+out comes+out how+old",
    "is-a": "job profession living",
    "composer": "compose sing sings sang singer song track",
    "recorded by": "sing sings sang singer song album track artist band performed",
    "music by": "soundtrack score composer composed",
    "musical genre": "kind sort style",
    "sport played": "play plays played",
    "player": "play plays played team club squad",
    "player statistics": "play plays played team club squad",
    "team coached": "coach coaches manager manages managed",
    "position(s)": "position",
    "place of birth": "where born from birthplace",
    "country of nationality": "where country nationality from",
    "home venue for": "stadium arena ground where home",
    "champion": "won win winner",
    "runner-up": "lost lose beat finalist",
    "next in series": "next sequel after follow",
    "sequel": "next after follow",
    "part of series": "belong",
    "instrument played": "play plays",
    "member of": "band group members drummer guitarist bassist frontman",
    "award won": "oscar prize win won awards",
    "adapted from": "based adaptation",
    "subject": "about topic theme",
    "in language": "speak spoken",
    "spouse (or domestic partner)": "married wife husband partner",
    "sibling": "brother sister siblings",
}
# What is asked about by naming its kind: "a film like ...".
MEDIA: dict[str, str] = {
    FILM: "film films movie movies flick flicks watch watched cinema actor actress",
    BOOK: "book books novel novels read reading author novelist",
    MUSIC: "song songs album albums track tracks listen sing sang",
}
# What we list first about a thing when nothing in particular is asked.
PRIOR = ("directed by", "written by", "recorded by", "starred actors", "sport played", "has genre", "musical genre")
# By what two things are alike, the strongest first.
ALIKE = ("part of series", "directed by", "written by", "has genre", "recorded by", "musical genre", "sport played")
WORD = re.compile(r"[^\W\d_]+")
ENDING = re.compile(r"(?<=\w{3})(?:ation|ions?|ing|ors?|ers?|ed|es|s|e)$")
MINOR = frozenset(WORD.findall("by of in for the a an to is or and played has with"))


def canonical(relation: str) -> str:
    """'directed_by' as 'directed by', so that spellings of one relation agree."""
    return " ".join(relation.replace("_", " ").lower().split())


def stem(word: str) -> str:
    """A word without its ending: 'directed', 'director' and 'directs' all become 'direct'."""
    return ENDING.sub("", word)


def asks_for(relation: str, said: Iterable[str]) -> int:
    """How well the words (lower case) ask for a relation: 2 by a word of the relation, 1 by one that goes with it."""
    name = canonical(relation)
    words = set(said)
    own = {stem(word) for word in WORD.findall(name) if word not in MINOR}
    if own & {stem(word) for word in words if word not in MINOR}:
        return 2
    return int(any(words >= set(cue.split("+")) for cue in CUES.get(name, "").split()))


def media(said: Iterable[str]) -> set[str]:
    """The kinds of work that the words speak of."""
    words = set(said)
    return {kind for kind, cues in MEDIA.items() if words & set(cues.split())}
