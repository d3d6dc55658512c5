"""8 · How long conversations are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from adapterbot.errors import SettingError
from adapterbot.storage.schema import CONVERSATION, TURN, VERSION

MOST_DAYS = 36_500


def before(days: float) -> str:
    """The moment that many days ago, as the store writes it.

    Raises:
        SettingError: no number of days, or more than `MOST_DAYS`.
    """
    if not 0 <= days <= MOST_DAYS:
        raise SettingError(f"{days:g} days: conversations are kept for 0 to {MOST_DAYS:,} days")
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="milliseconds")


def forget_unused_since(connection: Connection, moment: str) -> int:
    """Remove the sessions in which nothing was said since `moment`, whole; returns how many they were."""
    used = sa.select(TURN.c.session).group_by(TURN.c.session).having(sa.func.max(TURN.c.created_at) < moment)
    sessions = list(connection.execute(used).scalars())
    for start in range(0, len(sessions), 500):  # databases bound the values of one statement
        some = sessions[start : start + 500]
        for table in (VERSION, CONVERSATION, TURN):
            connection.execute(sa.delete(table).where(table.c.session.in_(some)))
    return len(sessions)
