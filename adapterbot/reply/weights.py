"""6 · The learnt weights by which drafts are chosen: for each group of skills one number per feature.

Linear: a draft's score is the sum of its features times these weights. `adapterbot train-ranker --weights` fits them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterbot.errors import WeightsError
from adapterbot.home import Home, written_by_rename
from adapterbot.manager.encoder import WEIGHTS
from adapterbot.reply.features import FEATURES

RERANK = "rerank.json"
ALONE = {"likelihood": 1.0}  # where nothing was learnt


@dataclass(frozen=True, slots=True)
class RankWeights:
    """`groups[group][feature]`; a group that was not learnt goes by likelihood alone; `about` says how good they
    are."""

    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def score(self, group: str, features: Mapping[str, float]) -> float:
        """How good a draft with these features is for a skill of this group; comparable within one turn."""
        return sum(weight * features[name] for name, weight in self.groups.get(group, ALONE).items())

    def save(self, path: Path) -> None:
        """Write them as JSON by rename."""
        content = {"features": FEATURES, "groups": self.groups, **self.about}
        with written_by_rename(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_weights(home: Home) -> RankWeights:
    """The weights that the user fitted, else those that ship.

    Raises:
        WeightsError: the file is damaged, or its weights are not numbers or of other features.
    """
    own = home.manager / RERANK
    return read_weights(own if own.is_file() else WEIGHTS / RERANK)


def read_weights(path: Path) -> RankWeights:
    """The weights in a file.

    Raises:
        WeightsError: as `load_weights`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names, groups = content.pop("features"), content.pop("groups")
        weights = {group: {name: float(weight) for name, weight in row.items()} for group, row in groups.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path} cannot be read ({error}); fit it again: {AGAIN}") from None
    other = {name for row in weights.values() for name in row} - set(FEATURES)
    if tuple(names) != FEATURES or other:
        raise WeightsError(f"{path} has weights of other features; fit it again: {AGAIN}")
    if not all(math.isfinite(weight) for row in weights.values() for weight in row.values()):
        raise WeightsError(f"{path} holds weights that are no finite numbers")
    return RankWeights(weights, content)


AGAIN = "adapterbot train-ranker --weights"
