"""8 · The API keys of a server: only hashes are kept, so that a stolen database opens nothing."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from adapterbot.errors import InputError, UnknownNameError, shorten
from adapterbot.storage.database import Database, now, storable
from adapterbot.storage.schema import MIGRATIONS

FORM = re.compile(r"ab-([0-9a-f]{8})-([A-Za-z0-9_-]{43})")
MOST_NAME = 100  # characters
COLUMNS = ("id", "name", "hash", "admin", "per_minute", "created_at", "revoked_at")
KEY = sa.table("api_key", *map(sa.column, COLUMNS))


@dataclass(frozen=True, slots=True)
class Key:
    """One API key as it is kept. `per_minute`: how many requests it may make, None for any number."""

    id: str
    name: str
    hash: str
    admin: bool
    per_minute: int | None
    created_at: str
    revoked_at: str | None

    def opens(self, secret: str) -> bool:
        """Whether `secret` is this key's; it takes as long for a wrong one as for the right one."""
        return hmac.compare_digest(self.hash, _hash(secret))


class KeyStore:
    """The keys in one database. Its methods raise StoreError where the database cannot be used (see `Database`)."""

    def __init__(self, place: str | os.PathLike[str]) -> None:
        """`place` as for `Database`; nothing is created before the first key."""
        self._database = Database(place, MIGRATIONS)

    def prepare(self) -> None:
        """Make what is not there, so that faults show at once."""
        self._database.prepare()

    def new(self, name: str = "", *, admin: bool = False, per_minute: int | None = None) -> str:
        """Make a key and return it: the only time that it can be read.

        Raises:
            InputError: the name is too long, or not one request a minute would be allowed.
        """
        if len(name) > MOST_NAME:
            raise InputError(f"the name {shorten(name)!r} has {len(name)} characters; a key's has at most {MOST_NAME}")
        if per_minute is not None and not 1 <= per_minute < 2**31:
            raise InputError(f"{per_minute} requests a minute: at least 1, or leave it out for any number")
        id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        row = {"id": id, "name": storable(name), "hash": _hash(secret), "admin": int(admin)}
        row |= {"per_minute": per_minute, "created_at": now(), "revoked_at": None}
        self._database.write(lambda connection: connection.execute(sa.insert(KEY).values(**row)))
        return f"ab-{id}-{secret}"

    def all(self) -> list[Key]:
        """Every key, revoked ones included, the oldest first."""
        chosen = sa.select(KEY).order_by(KEY.c.created_at, KEY.c.id)
        none: list[sa.Row[Any]] = []
        rows = self._database.read(lambda connection: list(connection.execute(chosen)), none)
        return [Key(**{**row._asdict(), "admin": bool(row.admin)}) for row in rows]

    def revoke(self, id: str) -> None:
        """Close a key for good; its sessions stay.

        Raises:
            UnknownNameError: there is no open key of that id; the message lists the nearest.
        """
        statement = sa.update(KEY).where(KEY.c.id == storable(id), KEY.c.revoked_at.is_(None)).values(revoked_at=now())
        if not self._database.write(lambda connection: connection.execute(statement).rowcount, create=False):
            raise UnknownNameError("key", id, [key.id for key in self.all() if key.revoked_at is None])


def find(keys: Iterable[Key], given: str) -> Key | None:
    """The open one of `keys` that `given` is, else None."""
    form = FORM.fullmatch(given)
    if form is None:
        return None
    found = next((key for key in keys if key.id == form[1] and key.revoked_at is None), None)
    return found if found is not None and found.opens(form[2]) else None


def _hash(secret: str) -> str:
    """SHA-256 in hex: the secrets are 256 random bits, which no slow hash has to protect."""
    return hashlib.sha256(secret.encode()).hexdigest()
