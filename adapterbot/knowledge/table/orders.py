"""3 · What order a message wants rows in: "the cheapest", "closer", "the most stars"."""

from __future__ import annotations

import re

from adapterbot.knowledge.table.table import Table

# What orders, the columns that it goes by (the first that the table has; "money" is any column of prices), and whether
# the most comes first.
ORDERS = (
    (r"nearest|closest|nearby|near me|close by|shortest|closer|nearer", ("distance", "duration"), False),
    (r"furthest|farthest|most distant", ("distance",), True),
    (r"cheapest|lowest(?: price| fare| fee)?|least expensive|cheaper|less expensive", ("money",), False),
    (r"most expensive|priciest|dearest|fanciest|poshest|more expensive|highest price|costliest", ("money",), True),
    (r"earliest|first train|soonest|first one(?= to leave)", ("leaveAt",), False),
    (r"latest|last train|last one(?= to leave)", ("leaveAt",), True),
    (r"fastest|quickest|shortest|faster|quicker", ("duration", "distance"), False),
    (r"slowest|longest", ("duration",), True),
    (r"(?:best|highest)[- ]rated|highest rating|(?:most|best) stars", ("stars", "rating"), True),
    (r"(?:fewest|least) stars|lowest[- ]rated|worst[- ]rated", ("stars", "rating"), False),
    (r"biggest|largest|most seats|most people|roomiest|most passengers", ("seats",), True),
    (r"smallest|fewest seats", ("seats",), False),
)  # fmt: skip
MOST = re.compile(r"\b(?:\w{3,}est|most|least|first|last|worst)\b", re.I)
COMPARATIVE = re.compile(
    r"(?<!no )\b(?:cheaper|closer|nearer|faster|quicker|less expensive|more expensive)\b(?! than)", re.I
)


def order_of(text: str, table: Table) -> tuple[str, bool] | None:
    """The column that `text` wants the rows sorted by, and whether the most comes first."""
    for pattern, names, descending in ORDERS:
        if re.search(rf"\b(?:{pattern})\b(?! than)", text, re.I):
            found = next((column for name in names if (column := _column(name, table))), "")
            if found:
                return found, descending
    return None


def _column(name: str, table: Table) -> str:
    known = {column.name for column in table.columns}
    return table.money if name == "money" else name if name in known else ""


def text_without_order(text: str) -> str:
    """A text whose "most expensive" holds no "expensive"."""
    return re.sub(r"\b(most|least|more|less) (expensive|affordable)\b", r"\1", text, flags=re.I)
