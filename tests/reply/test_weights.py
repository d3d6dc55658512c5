"""The weights of the choice: what they are, and what is wrong with a file of them."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from adapterbot.errors import WeightsError
from adapterbot.home import Home
from adapterbot.reply.features import FEATURES
from adapterbot.reply.weights import RERANK, RankWeights, load_weights
from adapterbot.spec.tables import Group

ZEROS = dict.fromkeys(FEATURES, 0.0)


def test_a_score_is_the_sum_of_what_counts() -> None:
    weights = RankWeights({"task": {"likelihood": 2.0, "told": -1.0}})
    row = ZEROS | {"likelihood": -0.5, "told": 0.25, "length": 9.0}
    assert weights.score("task", row) == -1.25
    assert weights.score("style", row) == -0.5, "by likelihood where nothing was learnt"


def test_the_users_own_go_before_those_that_ship(home: Home) -> None:
    shipped = load_weights(home)
    assert set(shipped.groups) == set(get_args(Group))
    assert shipped.groups["style"]["style"] > 0
    mine = RankWeights({"task": ZEROS | {"told": 0.5}}, {"turns": {"hotel": 3}})
    mine.save(home.manager / RERANK)
    assert load_weights(home) == mine


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"features": [*FEATURES, "luck"]}, "other features"),
        ({"groups": {"task": {"luck": 1.0}}}, "other features"),
        ({"groups": {"task": {"told": float("nan")}}}, "finite"),
        ({"groups": {"task": {"told": "much"}}}, "cannot be read"),
        ({"groups": [1]}, "cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(home: Home, change: dict[str, object], fault: str) -> None:
    RankWeights({"task": ZEROS}).save(home.manager / RERANK)
    path = home.manager / RERANK
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsError, match=fault):
        load_weights(home)
    path.write_text("{")
    with pytest.raises(WeightsError, match="train-ranker --weights"):
        load_weights(home)
