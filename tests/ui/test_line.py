"""The line before the model."""

from __future__ import annotations

import pytest

from adapterbot.errors import InputError
from adapterbot.ui.line import Line


def test_first_come_first_served_and_too_many_are_refused() -> None:
    line = Line(at_once=1, waiting=2)
    with line.place() as first, line.place() as second:
        with line.place() as third:
            assert [line.before(place) for place in (first, second, third)] == [0, 1, 2]
            with pytest.raises(InputError, match="3 people are before you"), line.place():
                pass
        assert line.before(second) == 1
    with line.place() as place:
        assert line.before(place) == 0
