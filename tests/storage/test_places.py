"""Places that no store can be in: told in one line, and without a password."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adapterbot.errors import MissingPartError, StoreError
from adapterbot.storage.conversations import Store
from adapterbot.storage.keys import KeyStore

SECRET = "S3cr3t"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosuch://x", "'nosuch' is no database for a store"),
        ("://", "cannot be read"),
        (f"mssql+pymssql://u:{SECRET}@h/d", "is no database for a store"),
        (f"mysql://u:{SECRET}@h/d", r"postgresql\+psycopg://USER@HOST/NAME"),
        (f"postgresql+psycopg2://u:{SECRET}@h/d", r"postgresql\+psycopg://"),
        (f"postgresql+asyncpg://u:{SECRET}@h/d", r"postgresql\+psycopg://"),
        (f"postgresql+psycopg://u:{SECRET}@h:port/d", "cannot be read"),
        (f"postgresql+psycopg://u:x@{SECRET}@h/d", "write %40"),
        (f"postgresql+psycopg://u:x@y/{SECRET}@h/d", "write %40"),
        (f"postgresql+psycopg://u:x@y?{SECRET}@h/d", "write %40"),
        (f"postgresql+psycopg:u:{SECRET}@h/d", "without //"),
        (f"postgres:/u:{SECRET}@h/d", "without //"),
        ("sqlite:/somewhere/a.sqlite3", "without //"),
        ("sqlite+nosuch:///a", "is no database for a store"),
    ],
)
def test_urls_that_cannot_be_used(url: str, said: str) -> None:
    for kind in (Store, KeyStore):
        with pytest.raises(StoreError, match=said) as raised:
            kind(url)
        assert SECRET not in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_driver_that_is_missing_is_named_with_its_extra(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingPartError, match=r"pip install 'adapterbot\[postgres\]'") as raised:
        Store(f"{scheme}://u:{SECRET}@h/d")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@127.0.0.1:9/d",
        f"postgresql://u@127.0.0.1:9/d?password={SECRET}",
        f"postgresql://u@127.0.0.1:9/d?sslpassword={SECRET}&sslmode=disable",
        f"postgresql://u:%40{SECRET}%2F@127.0.0.1:9/d",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    pytest.importorskip("psycopg")
    store = Store(url)
    assert store.place.startswith("postgresql")
    with pytest.raises(StoreError) as raised:
        store.prepare()
    for text in (store.place, str(raised.value), repr(raised.value), repr(store._database)):
        assert SECRET not in text
    assert raised.value.__cause__ is None
    assert "refused" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_is_named_by_its_path_or_a_url(tmp_path: Path) -> None:
    file = tmp_path / "a@b.sqlite3"
    assert Store(file).place == Store(f"sqlite:///{file}").place == str(file)
