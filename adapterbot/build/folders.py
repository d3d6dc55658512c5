"""The folder that `adapterbot build` makes models in, and where each of them lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapterbot.home import Home

JUDGE = "tests/labelled/manager_messages.jsonl"  # messages that the manager is tried on, where the root has them


@dataclass(frozen=True, slots=True)
class Workshop(Home):
    """The folder that models are made in, seen as a home: its own skills come first, then those that ship.

    Checkpoints and search indexes stay in the user's own home. `used` is the manager that this build has made, once it
    has; before that the one that ships is used.
    """

    user: Home
    used: Path | None = None

    @property
    def manager(self) -> Path:
        """The folder of the manager that is used."""
        return self.used or self.root / "manager"

    @property
    def knowledge(self) -> Path:
        """Search indexes."""
        return self.user.knowledge

    @property
    def training(self) -> Path:
        """Checkpoints of trainings that have not ended."""
        return self.user.training

    @property
    def backbone(self) -> Path:
        """The model folder."""
        return self.root / "data" / "backbone"

    @property
    def card(self) -> Path:
        """What people read about the backbone."""
        return self.backbone / "README.md"

    @property
    def weights(self) -> Path:
        """Where the rank heads lie."""
        return self.root / "manager" / "weights"

    def classifier_folder(self, encoder: str) -> Path:
        """Where the manager of an encoder lies."""
        return self.weights if encoder == "dialogue" else self.weights / encoder

    @property
    def report(self) -> Path:
        """The figures of all that was made."""
        return self.root / "data" / "report.json"

    @property
    def judge(self) -> Path | None:
        """The messages that the manager is tried on, if there are any."""
        path = self.root / JUDGE
        return path if path.is_file() else None
