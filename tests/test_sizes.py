"""The alarm for long files and functions: what is long is shown, with its reason where it has one."""

from __future__ import annotations

from pathlib import Path

from sizes import FILE_LINES, FUNCTION_LINES, Long, long_parts

PLACE = Path("a.py")
LONG = FUNCTION_LINES * "    x = 1\n"


def test_what_is_not_long_is_not_shown() -> None:
    assert not list(long_parts(PLACE, "def f():\n" + LONG.removesuffix("    x = 1\n")))
    assert not list(long_parts(PLACE, FILE_LINES * "x = 1\n"))


def test_a_long_function_is_shown_with_its_reason() -> None:
    assert list(long_parts(PLACE, f"def f():\n{LONG}")) == [Long("a.py:1 f", FUNCTION_LINES + 1, "")]
    explained = f"async def f():\n    # Long: one table\n{LONG}"
    assert list(long_parts(PLACE, explained)) == [Long("a.py:1 f", FUNCTION_LINES + 2, "one table")]


def test_the_reason_of_a_function_is_none_for_its_file() -> None:
    source = f"def f():\n    # Long: one table\n{LONG}" + FILE_LINES * "x = 1\n"
    file, function = long_parts(PLACE, source)
    assert (file.reason, function.reason) == ("", "one table")
    file, _function = long_parts(PLACE, "# Long: a list of words\n" + source)
    assert file.reason == "a list of words"
