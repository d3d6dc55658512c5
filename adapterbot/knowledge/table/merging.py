"""3 · The wants of a conversation after one more message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapterbot.knowledge.query_language import Clause


def merged(old: Sequence[Clause], new: Sequence[Clause]) -> list[Clause]:
    """The wants after a message: what it says of a column replaces what was said before, but for what it leaves out."""
    kept = list(old)
    for column, clauses in _by_column(new).items():
        wanted = [clause for clause in clauses if clause.test != "!="]
        out = {value.lower() for clause in clauses if clause.test == "!=" for value in clause.values}
        if wanted:
            kept = [clause for clause in kept if clause.column != column]
            kept += wanted
            kept += [c for c in clauses if c.test == "!=" and any(w.test != "=" for w in wanted)]
            continue
        kept = [left for clause in kept if (left := _without(clause, column, out))]
        kept += [clause for clause in clauses if clause not in kept]
    return kept


def _without(clause: Clause, column: str, out: set[str]) -> Clause | None:
    """A clause without values that are not wanted any more."""
    if clause.column != column or clause.test != "=":
        return clause
    values = tuple(value for value in clause.values if value.lower() not in out)
    return Clause(column, "=", values) if values else None


def _by_column(clauses: Sequence[Clause]) -> Mapping[str, list[Clause]]:
    """The clauses of each column, in their order."""
    found: dict[str, list[Clause]] = {}
    for clause in clauses:
        found.setdefault(clause.column, []).append(clause)
    return found
