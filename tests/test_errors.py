"""Every error says what is wrong and what is near, and none can flood a log."""

from __future__ import annotations

import pytest

from adapterbot import errors
from adapterbot.errors import AdapterbotError, UnknownNameError, nearest, shorten

ALL = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, AdapterbotError)]


def test_every_error_has_one_root_and_stands_in_the_drawn_tree() -> None:
    assert len(ALL) >= 12
    for error in ALL:
        assert error.__name__ in (errors.__doc__ or ""), f"{error.__name__} is missing in the tree"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wheather", "unknown skill 'wheather'; did you mean 'weather'?"),
        ("WIKI", "unknown skill 'WIKI'; did you mean 'wiki'?"),
        ("zzz", "unknown skill 'zzz'; there are: persona, weather, wiki"),
        ("", "unknown skill ''; there are: persona, weather, wiki"),
    ],
)
def test_an_unknown_name_lists_the_nearest(name: str, message: str) -> None:
    error = UnknownNameError("skill", name, {"wiki", "weather", "persona"})
    assert str(error) == message
    assert (error.kind, error.name) == ("skill", name)


def test_one_or_no_known_name_reads_well() -> None:
    assert nearest("x", ["only"]) == "there is: only"
    assert nearest("x", []) == "there are: none"


def test_a_hostile_name_is_cut_and_cannot_break_a_line() -> None:
    message = str(UnknownNameError("skill", "a\nb\x1b[31m" + "x" * 5000, ["wiki"]))
    assert len(message) < 150
    assert "\n" not in message and "\x1b" not in message  # noqa: PT018
    assert shorten("x" * 60) == "x" * 60
    assert shorten("x" * 61) == "x" * 59 + "…"
