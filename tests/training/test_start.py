"""A skill that goes on from the adapter of another."""

from __future__ import annotations

import pytest
from haiku import SPEC, train, write_skill

from adapterbot.errors import AdapterbotError
from adapterbot.home import Home
from adapterbot.network.adapters.file import load_adapter
from adapterbot.network.backbone import Backbone
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.skill import TrainingResult


@pytest.fixture(scope="module")
def finished(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Home]:
    """One whole training that several tests look at."""
    home = Home(tmp_path_factory.mktemp("finished"))
    return train(write_skill(home), tiny, home), home


def write_verse(home: Home, adapter: str = "bottleneck = 4, first_layer = 0", start: str = "haiku") -> SkillSpec:
    """A second skill, on the first one's corpus, that starts from its adapter."""
    folder = home.skills / "verse"
    folder.mkdir(parents=True, exist_ok=True)
    text = SPEC.format(lr=1e-5, first_layer=0).replace("bottleneck = 4, first_layer = 0", adapter)
    (folder / "skill.toml").write_text(text.replace("epochs = 3", f'epochs = 1, start = "{start}"'))
    (folder / "talk.jsonl").write_text((home.skills / "haiku" / "talk.jsonl").read_text())
    return SkillFolders(home).load("verse")


def test_a_skill_goes_on_from_the_adapter_of_another(tiny: Backbone, home: Home) -> None:
    first = train(write_skill(home), tiny, home)
    second = train(write_verse(home), tiny, home)
    assert second.after == pytest.approx(first.after, rel=0.02)
    made = load_adapter(second.folder / "adapter.safetensors", tiny.shape, tiny.fingerprint)
    assert made.metadata["start"] == "haiku"
    assert "start" not in load_adapter(first.folder / "adapter.safetensors", tiny.shape, tiny.fingerprint).metadata


def test_a_skill_goes_on_with_its_own_adapter(tiny: Backbone, home: Home) -> None:
    spec = write_skill(home)
    first = train(spec, tiny, home)
    second = train(spec, tiny, home, epochs=1, seed=1, start="haiku")
    assert second.after < first.after
    assert (
        load_adapter(second.folder / "adapter.safetensors", tiny.shape, tiny.fingerprint).metadata["start"] == "haiku"
    )


@pytest.mark.parametrize(
    ("adapter", "start", "told"),
    [
        ("bottleneck = 4", "limerick", r"skill 'limerick'; "),
        ("bottleneck = 4", "verse", r"'verse' has no trained adapter yet; first: adapterbot train-skill verse"),
        ("bottleneck = 8", "haiku", r"'verse' cannot start from 'haiku'"),
        ("bottleneck = 4, first_layer = 1", "haiku", r"'verse' cannot start from 'haiku'"),
        ('bottleneck = 4, on = "reply"', "haiku", r"'verse' cannot start from 'haiku'"),
    ],
)
def test_a_start_that_does_not_fit_is_told(
    tiny: Backbone, finished: tuple[TrainingResult, Home], adapter: str, start: str, told: str
) -> None:
    home = finished[1]
    with pytest.raises(AdapterbotError, match=told):
        train(write_verse(home, adapter, start), tiny, home)
    assert not (home.skills / "verse" / "adapter.safetensors").exists()
