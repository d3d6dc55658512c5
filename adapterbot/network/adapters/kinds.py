"""The kinds of adapter by name."""

from __future__ import annotations

from functools import cache
from typing import Any

from adapterbot.errors import AdapterError, nearest
from adapterbot.network import adapters
from adapterbot.network.adapters import AdapterKind
from adapterbot.network.discovery import exports


def kind_of(name: Any) -> type[AdapterKind]:
    """The kind of adapter that `adapter.type` or the metadata of a file names.

    Raises:
        AdapterError: no file in this folder has it.
    """
    if not isinstance(name, str) or name not in _kinds():
        raise AdapterError(f"adapter type {name!r} is not known; {nearest(str(name), _kinds())}")
    return _kinds()[name]


@cache
def _kinds() -> dict[str, type[AdapterKind]]:
    kinds: list[type[AdapterKind]] = exports(adapters, "KIND")
    return {kind.name: kind for kind in kinds}
