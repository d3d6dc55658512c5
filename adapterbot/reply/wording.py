"""6 · Replies that facts give word by word: what a row says to a question, how many there are, that there is none.

No model words them, so that "yes" and "no" come from the cell that was asked for and nothing from beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapterbot.facts import Asked, Count, Fact, Nothing, Row, Wanted

# How a column is said of a row. A column of another name is said by it: "the wheelchair of X is no".
SAID = {
    "address": "is at {}",
    "area": "is in the {}",
    "phone": "has the phone number {}",
    "postcode": "has the postcode {}",
    "pricerange": "is {}",
    "food": "serves {} food",
    "stars": "has {} stars",
    "seats": "has {} seats",
    "type": "is a {}",
    "poi_type": "is a {}",
    "color": "has {} cars",
    "day": "runs on {}",
    "departure": "leaves from {}",
    "destination": "goes to {}",
    "leaveAt": "leaves at {}",
    "arriveBy": "arrives at {}",
    "duration": "takes {}",
    "distance": "is {} away",
    "traffic_info": "has {} on the way",
    "price": "costs {}",
}
CALLED = {"navigation": "place"}  # what rows of a table are, where its name does not tell
TESTS = {"<": "less than {}", "<=": "at most {}", ">": "more than {}", ">=": "at least {}", "!=": "other than {}"}
TIMES = {"<": "before {}", "<=": "by {}", ">": "after {}", ">=": "from {} on"}
UNKNOWN = "I do not know that about {}."
MOST_NAMED = 3


def told(facts: Sequence[Fact]) -> str:
    """The whole reply, where the facts are the answer to a question; else ""."""
    rows = [fact for fact in facts if isinstance(fact, Row) and fact.asked]
    if rows and len(rows) == len(facts):
        return " ".join(_answered(row, len(rows) > 1) for row in rows[:MOST_NAMED])
    match facts:
        case [Nothing(wanted=wanted, topic=topic)] if wanted:
            return f"I am sorry, I know of no {_kind(topic)} {_that(wanted)}."
        case [Count(asked=True) as count]:
            one = "is" if count.n == 1 else "are"
            kind = _kind(count.of) + ("" if count.n == 1 else "s")
            return f"There {one} {count.n} {kind}{' ' + _that(count.wanted, count.n) if count.wanted else ''}."
    return ""


def cell_said(column: str, value: str) -> str:
    """A cell as it is said of its row: "is in the west"."""
    name = column.replace("_", " ")
    if value.lower() in ("no", "none"):
        return f"has no {name}"
    if value.lower() == "yes":
        return f"has {name}"
    if value.lower() == "free":
        return f"has free {name}" if column in ("internet", "parking", "wifi") else "is free"
    if column in SAID:
        phrase = SAID[column].format(value)
        phrase = re.sub(r"^is a (?=[aeiou])", "is an ", phrase)
        return phrase.replace("has 1 stars", "has 1 star")
    if re.search(r"price|fare|fee|cost", column, re.I) and re.search(r"\d", value):
        return f"costs {value}"
    return f"has the {name} {value}" if not value[:1].isdigit() else f"has {value} as its {name}"


def _answered(row: Row, several: bool) -> str:
    """What a row says to what is asked of it."""
    claims = [asked for asked in row.asked if asked.holds is not None]
    asked = [one for one in row.asked if one.holds is None]
    cells = dict(row.cells)
    if any(not one.column for one in asked):
        return f"{UNKNOWN.format(row.key)} What I have: {', '.join(f'{n} {v}' for n, v in row.cells if v != row.key)}."
    columns = list(dict.fromkeys(one.column for one in (*claims, *asked)))
    known = [cell_said(column, cells[column]) for column in columns if column in cells]
    unknown = [column.replace("_", " ") for column in columns if column not in cells]
    said = f"{row.key} {_joined(known)}." if known else ""
    if known and claims and not several:
        said = f"{_verdict(claims)} {said}"
    missing = f"I do not know the {_joined(unknown)} of {row.key}." if unknown else ""
    return " ".join(filter(None, [said, missing]))


def _verdict(claims: Sequence[Asked]) -> str:
    """Yes or no; of what was denied, that it is so or not."""
    holds = all(claim.holds for claim in claims)
    if holds and any(claim.test == "!=" for claim in claims):
        return "That is right,"
    return "Yes," if holds else "No,"


def _kind(topic: str) -> str:
    return CALLED.get(topic, topic)


def _that(wanted: Wanted, count: int = 1) -> str:
    """What was looked for: "that serves greek food and is in the west"."""
    said = [_wish(column, test, value) for column, test, value in wanted]
    text = f"that {_joined(said)}"
    return text if count == 1 else _plural(text)


def _wish(column: str, test: str, value: str) -> str:
    value = value.removesuffix(" or free")
    if test == "=":
        return cell_said(column, value)
    name = column.replace("_", " ")
    if column in ("leaveAt", "arriveBy"):
        return f"{'leaves' if column == 'leaveAt' else 'arrives'} {TIMES.get(test, TESTS['!=']).format(value)}"
    if test == "!=" and column in SAID:
        verb, _, rest = SAID[column].format(value).partition(" ")
        return f"is not {rest}" if verb == "is" else f"{verb} something other than {rest}"
    return f"has {TESTS.get(test, '{}').format(value)} as its {name}"


def _plural(text: str) -> str:
    for one, many in (("is", "are"), ("has", "have"), ("serves", "serve"), ("costs", "cost"), ("leaves", "leave"),
                      ("arrives", "arrive"), ("goes", "go"), ("runs", "run"), ("takes", "take")):  # fmt: skip
        text = re.sub(rf"(?<=that ){one}\b|(?<=and ){one}\b|(?<=, ){one}\b", many, text)
    return text.replace(" as its ", " as their ")


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
