"""3 · What people call the columns of a table, whatever the table calls them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapterbot.knowledge.table.store import Column

# How a column of such a name is asked for. A column of another name goes by its own words.
CALLED = {
    "phone": r"phone|telephone|number|contact|call (?:them|it|him|her)|ring (?:them|it)",
    "address": r"address|located|location|street|where (?:is|are|'?s|can i find|do i find|exactly)|whereabouts"
    r"|directions?",
    "postcode": r"post ?codes?|postal|zip",
    "area": r"area|part of (?:the )?(?:town|city)|side of (?:the )?(?:town|city)|district|which part|where",
    "pricerange": r"prices?|pric(?:ey|ed|ing)|how (?:expensive|cheap|dear)|budget|cost\w*|spend|how much",
    "money": r"prices?|cost\w*|fare|fee|entrance|entry|admission|ticket|how much|expensive|charge|pay",
    "food": r"food|cuisine|kitchen|serves?|menu|cook",
    "stars": r"stars?|rating|rated",
    "type": r"type|kind|sort|what is it",
    "poi_type": r"type|kind|sort",
    "seats": r"seats?|seater|how many (?:people|persons|passengers)|(?:people|passengers) (?:fit|can)|fit|capacity"
    r"|room for",
    "color": r"colou?rs?",
    "internet": r"internet|wi-?fi|wireless|online|broadband|\bwlan\b",
    "parking": r"parking|park|car ?park|garage",
    "day": r"days?|when",
    "departure": r"depart\w*|from where|where (?:\w+ ){0,3}from|start|leave from|origin"
    r"|which station (?:\w+ ){0,3}from",
    "destination": r"destination|where (?:\w+ ){0,2}(?:go|to|end)|goes? to|heading",
    "leaveAt": r"leave|leaves|leaving|depart\w*|departure time|what time|when",
    "arriveBy": r"arriv\w*|get (?:in|there)|gets (?:in|there)|be there",
    "duration": r"how long|duration|journey time|travel time|minutes",
    "distance": r"how far|distance|how close|how near|how many miles|miles? away|how long (?:\w+ ){0,3}(?:drive|away)",
    "traffic_info": r"traffic|road ?block|collision|congest\w*|jam|road (?:like|clear|free)|the road\b",
}
NOT_ALONE = frozenset({"where", "when", "number", "park"})
MONEY = re.compile(r"\b(?:price|fare|fee|cost|charge)", re.I)


def cue(column: Column) -> str:
    """What asks for a column, as a pattern."""
    name = column.name
    words = " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)).lower()
    own = re.escape(words or name.lower()).replace(r"\ ", r"[\s_]?")
    known = CALLED.get(name) or CALLED.get(name.lower())
    if known is None and MONEY.search(words):
        known = CALLED["money"]
    return rf"\b(?:{own}s?{'|' + known if known else ''})(?:\b|(?<=\W))"


def asked_columns(text: str, columns: Sequence[Column]) -> tuple[str, ...]:
    """The columns that a text asks for. "How much" means amounts, where there are any; "where" an address."""
    found = [column.name for column in columns if column.kind != "entity" and re.search(cue(column), text, re.I)]
    low = text.lower()
    names = {column.name for column in columns}
    if re.search(r"\barea|part of|side of|district", low):
        found = [name for name in found if name != "address" or re.search(r"address|street", low)]
    elif "area" in found and "address" in names and not re.search(r"\bpart\b", low):
        found.remove("area")  # "where is it?"
    if re.search(r"\bwhere\b", low) and "departure" in names:
        found = [name for name in found if name in ("departure", "destination")] or ["departure", "destination"]
    if "leaveAt" in found and {"departure", "arriveBy", "destination", "day"} & set(found):
        timed = re.search(r"\bwhen|what time|at what|how late", low)
        if re.search(r"\barriv|get in|get there", low) and not re.search(r"\bleav|depart", low):
            found.remove("leaveAt")
        elif "departure" in found and timed and not re.search(r"\bwhere\b", low):
            found.remove("departure")
        elif "departure" in found and not timed and "where" in low:
            found.remove("leaveAt")
    if "day" in found and not re.search(r"\bdays?\b", low):
        found.remove("day")
    if "poi_type" in found and "type" in found:
        found.remove("type")
    return tuple(found)
