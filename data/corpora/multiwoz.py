"""MultiWOZ (Budzianowski et al. 2018), with CamRest and WOZ for restaurants: help for tourists over a database.

Its dialogues cross domains and its wizards book. `read` cuts out the exchanges of one domain whose reply keeps to what
is known: rows that it names, a number of matches, or that there are none. Replies that book are left out, since no
skill can book, and offers to do so are cut off.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from adapterbot.data.corpora import Splits, load_path
from adapterbot.data.dialogue import Dialogue, DialogueTurn, in_validation
from adapterbot.errors import DataError
from adapterbot.language.values import DIGITS, unsupported

FOLDERS = ("multiwoz", "camrest", "woz")
HUB = None
LICENCE = "MIT, its 2.0 subset CC BY 4.0 (MultiWOZ) · CC BY 4.0 (CamRest) · Apache 2.0 (WOZ)"

# The columns of each domain's rows, in the order of the corpus.
COLUMNS = {
    "restaurant": ("address", "area", "food", "name", "phone", "postcode", "pricerange"),
    "hotel": ("address", "area", "internet", "parking", "name", "phone", "postcode", "pricerange", "stars", "type"),
    "attraction": ("address", "area", "entrance fee", "name", "phone", "postcode", "pricerange", "type"),
    "train": ("arriveBy", "day", "departure", "destination", "duration", "leaveAt", "price", "trainID"),
    "taxi": (),
}
# Cells that take the spelling of the reply, so that the reply is a copy: "cb11ee" becomes "CB1 1EE" where it says so.
SPELT = frozenset({"address", "departure", "destination", "name", "phone", "postcode", "trainID"})
RARE = ("price", "duration", "leaveAt", "arriveBy")
VALID_SHARE = 0.05  # of the training dialogues that validate: the corpus' own validation part has a few of each domain
SHORTEST_NAME = 4
MOST = 3  # rows of a reply

CELL = re.compile(r"(?:^|, )([A-Za-z][\w ]*): ")
SENTENCE = re.compile(r"(?<=[.!?])\s+")
WORDS = re.compile(r"[^\W_]+")
HOUR = re.compile(r"(?<![\d:])(\d:\d\d)\b")  # the rows have two digits
POUNDS = re.compile(r"(\d+(?:\.\d+)?) ?(?:GBP|gbp)\b")
OFFERS = re.compile(r"\b(?:re)?(?:book|reserv)|\b(?:tickets?|seats?|make that|set that up|go ahead)\b", re.I)
BOOKED = re.compile(
    r"\b(?:reference|confirm|success)|\b(?:(?:re)?booked|reserved|all set|(?:been|have) (?:made|arranged))\b"
    r"|\b(?=[A-Z]*\d)[A-Z0-9]{8}\b",
    re.I,
)
ORDERED = re.compile(r"\bpick|\bcontact number|\b(?:car|taxi|cab|driver) (?:is|will|has)\b|\d{9}", re.I)  # of a taxi
FOR_BOOKING = re.compile(
    r"\bhow (?:many|long)\b|\b(?:what|which) (?:day|time)\b|\bfor how\b|\b(?:nights?|guests|staying|stay be)\b", re.I
)
NOTHING = re.compile(
    r"\bthere(?:'s| is| are) (?:no|not|n't)\b|\bthere (?:aren't|isn't)\b|\b(?:no|not any|0) (?:\w+ ){0,3}"
    r"(?:restaurants?|hotels?|guest ?houses?|attractions?|trains?|places?|results?|match\w*|listings?|options?)\b"
    r"|\b(?:don't|do not|not|didn't|did not|cannot|can't|unable to|couldn't) (?:\w+ )?(?:have|find|see|locate)\b"
    r"|\bno \w+ (?:that|which|fit|match|serv)",
    re.I,
)
MORE = re.compile(
    r"\b(?:else|anything|further|another|thanks?|welcome|bye|questions?|information|assist\w*|help)\b", re.I
)
FLAGS = re.compile(r"\b(?:parking|internet|wi-?fi|entrance|fees?|free)\b", re.I)

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the user said, the reply, its facts, and the reply before it where a run goes on from one left out."""

    user: str
    reply: str
    facts: tuple[str, ...]
    before: str = ""


def read(folder: Path, domain: str) -> Splits:
    """The dialogues of one domain, or of every one when none is given.

    Raises:
        DataError: `folder` has no MultiWOZ, a file of it is bad, or there is no such domain.
    """
    if domain and domain not in COLUMNS:
        raise DataError(f"MultiWOZ is read for one domain, not for {domain!r}; there are: {', '.join(COLUMNS)}")
    if not (folder / FOLDERS[0]).is_dir():
        raise DataError(f"{folder} has no folder {FOLDERS[0]!r}, where MultiWOZ is expected")
    made: Splits = {"train": [], "valid": []}
    for name in FOLDERS:
        splits = load_path(folder / name) if (folder / name).is_dir() else {}
        for wanted in (domain,) if domain else COLUMNS:
            database = Database(folder / FOLDERS[0] / "db.json.gz", wanted)
            for part, dialogues in splits.items() if name == FOLDERS[0] or wanted == "restaurant" else ():
                for dialogue in dialogues:
                    held = part == "valid" or in_validation(dialogue.id, VALID_SHARE)
                    made["valid" if held else "train"] += pieces(dialogue, wanted, database)
    return made


class Database:
    """The rows of one domain, by name. A corpora folder without the database has those that stand in the dialogues."""

    def __init__(self, path: Path, domain: str) -> None:
        self.domain = domain
        self.columns = COLUMNS[domain]
        items = _json(path).get(domain, []) if path.is_file() else []
        self.rows = [self.row(item) for item in items if isinstance(item, Mapping)]
        self._named = {_key(row["name"]): row for row in self.rows if row.get("name")}

    def row(self, item: Mapping[str, object]) -> Row:
        """The columns of this domain, and the times of day with two digits for the hour."""
        return {c: str(item[c]) for c in self.columns if item.get(c)}

    def parsed(self, line: str) -> Row | None:
        """A row of a dialogue, or None when it is one of another domain."""
        names = CELL.findall(line)
        cells = dict(zip(names, CELL.split(line)[2::2], strict=True))
        own = {"restaurant": "food", "hotel": "stars", "attraction": "entrance fee"}.get(self.domain, "trainID")
        return self.row(cells) if own in cells else None

    def named(self, text: str) -> list[Row]:
        """The rows whose name stands in `text`, longer names first; a name inside another one does not count."""
        words = _key(text).split()
        found = list[Row]()
        end = 0
        for start in range(len(words)):
            for size in range(6, 0, -1):
                key = " ".join(words[start : start + size])
                if start >= end and len(key) >= SHORTEST_NAME and key in self._named:
                    found.append(self._named[key])
                    end = start + size
        return list({id(row): row for row in found}.values())

    def about(self, system: DialogueTurn, said: Sequence[str]) -> list[Row]:
        """The rows that a reply is about: those it came with, else those that it or the user names, most 3."""
        if self.domain == "train":
            return self._trains(system.text, " ".join(said))[:MOST]
        given = [row for line in system.knowledge if (row := self.parsed(line))]
        return (given or self.named(system.text) or self.named(said[-1]))[:MOST]

    def _trains(self, text: str, said: str) -> list[Row]:
        """The trains that a reply tells of by number or by a time, between the stations and on the day talked of."""
        numbers = set(re.findall(r"TR\d{4}", text.upper()))
        times = set(re.findall(r"\b\d{2}:\d{2}\b", text))
        said = f"{said} {text}".lower()
        found = [
            row
            for row in self.rows
            if (row["trainID"] in numbers if numbers else times & {row["leaveAt"], row["arriveBy"]})
            and all(row[c] in said for c in ("departure", "destination", "day"))
        ]
        both = [row for row in found if {row["leaveAt"], row["arriveBy"]} <= times]
        return both or found


def pieces(dialogue: Dialogue, domain: str, database: Database) -> Iterator[Dialogue]:
    """The runs of exchanges of `domain` whose replies can be learnt from, each as a dialogue."""
    run: list[Exchange] = []
    number = 0
    for exchange in [*_exchanges(dialogue, domain, database), None]:
        if exchange:
            run.append(exchange)
            continue
        # a run of nothing but thanks teaches nothing about rows, and none goes on from a booking
        if any(e.facts for e in run) and not BOOKED.search(run[0].before):
            number += 1
            turns = [DialogueTurn("system", run[0].before)] if run[0].before else []  # heard, but never learnt
            for e in run:
                turns += [DialogueTurn("user", e.user), DialogueTurn("system", e.reply, knowledge=e.facts)]
            yield Dialogue(f"{dialogue.id}-{domain}-{number}", tuple(turns), domain=domain)
        run = []


def _exchanges(dialogue: Dialogue, domain: str, database: Database) -> Iterator[Exchange | None]:
    """Every exchange in its order; None for one that is of another domain or cannot be learnt from."""
    said = list[str]()
    focus = list[Row]()
    current = ""
    last = ""
    labelled = any(turn.label for turn in dialogue.turns)
    for user, system in zip(dialogue.turns, dialogue.turns[1:], strict=False):
        if (user.speaker, system.speaker) != ("user", "system"):
            continue
        system = replace(system, text=_as_in_rows(system.text))
        previous = current
        current = _domain(user, system, current) if labelled else dialogue.domain
        made = None
        if current == domain:
            before = last if previous == domain and not said else ""
            said = [*(said or filter(None, [before])), user.text]
            focus = database.about(system, said) or focus
            made = _exchange(said, system, focus, domain, before)
        said = [*said, made.reply] if made else []
        last = system.text
        yield made


def _as_in_rows(text: str) -> str:
    """Times and prices as the rows write them."""
    return HOUR.sub(r"0\1", POUNDS.sub(lambda m: f"{float(m[1]):.2f} pounds", text))


def _domain(user: DialogueTurn, system: DialogueTurn, current: str) -> str:
    """The domain of an exchange by its acts; acts of no domain (`general`, `Booking`) belong to the current one."""
    for turn in (system, user):
        acts = turn.label.partition(" | ")[0].split(",")
        domains = {act.partition("-")[0].lower() for act in acts if act} - {"general", "booking"}
        if domains:
            return domains.pop() if len(domains) == 1 else "several"
    return current


def _exchange(said: list[str], system: DialogueTurn, rows: list[Row], domain: str, before: str) -> Exchange | None:
    """The last thing `said` and the reply with the facts that it keeps to; None when it books, makes up or offers."""
    reply = _without_offers(said[-1], system.text, domain)
    if reply is None:
        return None
    nothing = f"{domain.capitalize()}-NoOffer" in system.label or bool(NOTHING.search(reply))
    shown = [row for row in rows if _names(row, reply)]
    if nothing and shown:
        return None  # "there is none, but ..." tells of rows that nobody asked for
    shown = shown or [row for row in rows if _tells_of(row, reply)]
    facts = [f"{domain}: none"] if nothing else [_line(_spelt(row, reply)) for row in shown]
    missing = {DIGITS.get(value.lower(), value) for value in unsupported(reply, facts, said)}
    count = min(missing) if len(missing) == 1 else ""
    if not nothing and count.isdigit() and len(count) < 4 and not re.search(rf"[:.]{count}|{count}[:.]\d", reply):
        facts = [f"{domain}: {count} found", *facts]
    elif missing:
        return None
    elif not facts and "?" in reply and not MORE.search(reply):
        # a question that narrows the choice: in a chat it goes with the number of what there is
        facts = [f"{domain}: {4 + zlib.crc32(' '.join(said).encode()) % 60} found"]
    return Exchange(said[-1], reply, tuple(facts), before)


def _without_offers(user: str, text: str, domain: str) -> str | None:
    """The reply without offers to book; None when nothing is left, or it books or asks what only a booking needs."""
    if BOOKED.search(text) or (domain == "taxi" and ORDERED.search(text)):
        return None
    kept = " ".join(s for s in SENTENCE.split(text) if not OFFERS.search(s))
    if domain not in ("train", "taxi") and FOR_BOOKING.search(kept):
        return None
    if OFFERS.search(user) and domain not in ("train", "taxi") and MORE.search(kept):
        return None  # asked to book, it goes on as if it had
    return kept or None


def _names(row: Row, reply: str) -> bool:
    """Whether the reply has the row's name or number, or another cell that few other rows have."""
    return any(_pattern(row[c]).search(reply) for c in (*SPELT, *RARE) if c in row)


def _tells_of(row: Row, reply: str) -> bool:
    """Whether the reply has any cell of the row, or tells what it has."""
    return bool(FLAGS.search(reply)) or any(_pattern(value).search(reply) for value in row.values())


def _spelt(row: Row, reply: str) -> Row:
    """The row with the cells of `SPELT` written as the reply writes them."""
    found = {c: m[0] for c in SPELT & row.keys() if (m := _pattern(row[c]).search(reply))}
    return {**row, **found}


@lru_cache(4096)
def _pattern(value: str) -> re.Pattern[str]:
    """Finds the letters and digits of `value`, whatever their case and the marks between them."""
    marks = r"[\s.,'’-]{0,2}"
    body = marks.join(map(re.escape, re.sub(r"[\W_]", "", value))) or r"(?!)"
    return re.compile(rf"(?<![^\W_]){body}(?![^\W_])", re.I)


def _line(row: Row) -> str:
    return ", ".join(f"{column}: {value}" for column, value in row.items())


def _key(text: str) -> str:
    """The words of a name or text, lower case, without 'the'."""
    return " ".join(w for w in WORDS.findall(text.lower().replace("'", "").replace("’", "")) if w != "the")


def _json(path: Path) -> Mapping[str, list[object]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            items = json.load(stream)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not isinstance(items, dict):
        raise DataError(f"{path}: an object with a list of rows for each domain is expected")
    return items
