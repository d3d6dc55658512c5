"""3 · Values that a message asks for and that no row of a table has: "Ethiopian food", "a train to Atlantis"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from adapterbot.knowledge.query_language import Clause
from adapterbot.knowledge.table.columns import CALLED, cue
from adapterbot.knowledge.table.table import Table, squeezed
from adapterbot.knowledge.table.vocabulary import WORD, Vocabulary
from adapterbot.language.words import STOP

# A value that the table may lack: the word before "food", a cuisine, what the nearest of is wanted, a place with a
# capital. The word stands in the first group.
UNKNOWN = {
    "food": r"\b([a-z]{4,}) (?:food|cuisine|dishes|kitchen)\b"
    r"|\b([a-z]+(?:ian|ean|can|ese|ish)) (?:restaurants?|places?|diners?)\b",
    "poi_type": r"\b(?:nearest|closest) ([a-z]+(?: [a-z]+)?)\b",
    "departure": r"\b(?:[Ff]rom|[Ll]eaving) (?-i:([A-Z][a-z]+))\b",
    "destination": r"\b(?:[Tt]o|[Ff]or) (?-i:([A-Z][a-z]+))\b",
}
KINDS = re.compile(
    r"\b(?:(?:is|are) there|there(?:'s| is| are)|do you (?:have|know)|looking for|(?:find|show|recommend) me"
    r"|want to (?:see|visit))"
    r"(?: of)? (?:any|an?|some|one) ([a-z]+)\b(?! (?:in|with|food))|\bare there ([a-z]{4,}s)\b", re.I,
)  # fmt: skip
PLAIN = frozenset(
    WORD.findall("""
    kind type sort local other different same best good great nice tasty delicious decent excellent cheap expensive
    serve serves serving vegetarian their this that what which these those place main town city free real normal
    available clean mean stylish fish places thing things cheaper cheapest option options way chance idea
    recommendation recommendations suggestion suggestions restaurant restaurants hotel hotels room rooms attraction
    attractions taxi taxis cab cabs train trains car cars trip somewhere more less another activity activities sight
    sights car service services company companies firm firms road traffic star stars table spot spots lodging
    accommodation later earlier closer nearer direct faster one ones connection connections museum food closest
    nearest most least nothing anything something quiet big small large fun interesting heavy collision block
    """)
)


def unknown_values(text: str, table: Table, vocabulary: Vocabulary, topic: str) -> Iterator[Clause]:
    """Clauses on the columns that such values are of."""
    columns = {column.name for column in table.columns}
    for name, pattern in UNKNOWN.items():
        for found in re.finditer(pattern, text, re.I) if name in columns else ():
            word = next(group for group in found.groups() if group).lower()
            if _is_new(word, table, vocabulary):
                refused = re.search(r"\b(?:no|not|but|without|except)\s+$", text[: found.start()], re.I)
                yield Clause(name, "!=" if refused else "=", (word,))
    name = next((n for n in ("type", "poi_type") if n in columns and topic not in ("taxi", "hotel")), "")
    kind = KINDS.search(text) if name else None
    word = (kind[1] or kind[2]).lower() if kind else ""
    if kind and kind[0].lower().startswith(("are", "there are")):
        word = word.removesuffix("s")
    if word and len(word) > 3 and _is_new(word, table, vocabulary) and not table.named(text):
        yield Clause(name, "=", (word,))


def _is_new(word: str, table: Table, vocabulary: Vocabulary) -> bool:
    parts = set(word.split())
    cues = any(re.search(cue(column), word, re.I) for column in table.columns if column.name in CALLED)
    known = any(vocabulary.known(squeezed(part), 1, part) for part in (word, *parts))
    return not parts & (STOP | PLAIN) and not cues and not known
