"""Training: only the adapter learns, and a training that fails leaves nothing behind."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from conftest import random_adapter
from haiku import train, write_skill
from safetensors.torch import load_file

from adapterbot.bot import Bot
from adapterbot.errors import AdapterbotError, DataError, SettingError, SpecError
from adapterbot.home import Home
from adapterbot.manager.classifier import CLASSIFIER
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import load_adapter
from adapterbot.network.backbone import Backbone, fingerprint_of
from adapterbot.network.likelihood import perplexity
from adapterbot.spec.folders import SkillFolders
from adapterbot.training import objective
from adapterbot.training.corpus import load_corpus
from adapterbot.training.skill import TrainingResult
from adapterbot.training.windows import encode_windows, replies

IDS = torch.tensor([[300, 301, 1, 302]])


@pytest.fixture(scope="module")
def finished(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Home]:
    """One whole training that several tests look at."""
    home = Home(tmp_path_factory.mktemp("finished"))
    return train(write_skill(home), tiny, home), home


def test_the_adapter_learns(finished: tuple[TrainingResult, Home], tiny: Backbone) -> None:
    trained, home = finished
    assert trained.after < 0.9 * trained.before
    assert (trained.epochs, trained.resumed_at, trained.origin) == (3, 0, "talk.jsonl")
    assert trained.tokens_per_second > 0
    assert [message for message, _ in trained.replies] == ["Snow?", "Rain?"]
    file = load_adapter(home.skills / "haiku" / "adapter.safetensors", tiny.shape, tiny.fingerprint)
    assert file.metadata["skill"] == "haiku"
    assert file.metadata["spec"] == SkillFolders(home).load("haiku").digest
    assert file.notes == ()


def test_a_manager_that_is_damaged_costs_no_training(home: Home, tiny: Backbone) -> None:
    home.manager.mkdir(parents=True)
    (home.manager / CLASSIFIER).write_bytes(b"no safetensors")
    trained = train(write_skill(home), tiny, home)
    assert (trained.folder / "adapter.safetensors").is_file()
    assert [message for message, _ in trained.replies] == ["Snow?", "Rain?"]


def test_the_reported_figures_are_those_of_the_file(finished: tuple[TrainingResult, Home], tiny: Backbone) -> None:
    trained, home = finished
    spec = SkillFolders(home).load("haiku")
    windows = [w for dialogue in load_corpus(spec).valid for w in replies(dialogue, spec)]
    rows = encode_windows(windows, tiny.tokenizer, tiny.positions)
    file = load_adapter(trained.folder / "adapter.safetensors", tiny.shape, tiny.fingerprint)
    bank = AdapterBank(tiny, {"haiku": file})
    assert perplexity(tiny, bank.select(["haiku"]), rows) == pytest.approx(trained.after)
    assert perplexity(tiny, None, rows) == pytest.approx(trained.before)


def test_the_replies_shown_are_what_the_bot_says(tiny: Backbone, home: Home) -> None:
    write_skill(home)
    path = home.skills / "haiku" / "skill.toml"
    path.write_text("strength = 4\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    trained = train(SkillFolders(home).load("haiku"), tiny, home, epochs=1)
    bot = Bot(tiny, home, log=False)
    said = [(m, bot.respond(m, skill="haiku", seed=i).text) for i, m in enumerate(["Snow?", "Rain?"])]
    assert list(trained.replies) == said


def test_nothing_stays_but_the_adapter_and_its_card(finished: tuple[TrainingResult, Home]) -> None:
    trained, home = finished
    files = {str(p.relative_to(home.root)) for p in home.root.rglob("*") if p.is_file()}
    assert files == {f"skills/haiku/{n}" for n in ("skill.toml", "talk.jsonl", "adapter.safetensors", "README.md")}
    card = (trained.folder / "README.md").read_text(encoding="utf-8")
    assert f"{trained.before:.2f} before, **{trained.after:.2f}** after" in card
    assert "adapterbot train-skill haiku" in card


def test_backbone_and_all_other_skills_are_bit_identical_afterwards(tiny: Backbone, home: Home) -> None:
    weights = {n: t.clone() for n, t in tiny.decoder.state_dict().items()}
    random_adapter(tiny, home.skills / "wiki" / "adapter.safetensors", 1)

    def outputs() -> list[torch.Tensor]:
        file = load_adapter(home.skills / "wiki" / "adapter.safetensors", tiny.shape, tiny.fingerprint)
        files = {"wiki": file}
        if (home.skills / "haiku" / "adapter.safetensors").exists():
            files["haiku"] = load_adapter(home.skills / "haiku" / "adapter.safetensors", tiny.shape, tiny.fingerprint)
        bank = AdapterBank(tiny, files)
        with torch.inference_mode():
            return [tiny.decoder(IDS, bank.select([skill])) for skill in ("wiki", None)]

    before = outputs()
    train(write_skill(home), tiny, home, epochs=1)
    assert (home.skills / "haiku" / "adapter.safetensors").exists()
    assert all(torch.equal(a, b) for a, b in zip(before, outputs(), strict=True))
    assert all(torch.equal(weights[n], t) for n, t in tiny.decoder.state_dict().items())
    assert fingerprint_of(tiny.decoder.state_dict()) == tiny.fingerprint
    assert all(p.grad is None for p in tiny.decoder.parameters())


def test_why_a_training_ended_is_told(finished: tuple[TrainingResult, Home], tiny: Backbone, home: Home) -> None:
    whole = finished[0]
    assert whole.steps == whole.planned
    assert not whole.stopped_early
    assert whole.ending.startswith(f"all {whole.planned} steps done; best epoch ")
    spec = write_skill(home)
    still = spec.train.model_copy(update={"epochs": 9, "patience": 2, "lr": 1e-12})  # nothing changes, none improves
    ended = train(spec.model_copy(update={"train": still}), tiny, home)
    assert (ended.stopped_early, ended.best_epoch, ended.epochs) == (True, 1, 3)
    where = f"stopped at step {ended.planned // 3} of {ended.planned}"
    assert ended.ending == f"{where}: validation has not improved for 2 epochs; best epoch 1"


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tiny: Backbone, home: Home, tmp_path: Path) -> None:
    spec = write_skill(home)
    made = [
        load_file(train(spec, tiny, home, epochs=1, seed=seed, out=tmp_path / out).folder / "adapter.safetensors")
        for seed, out in ((0, "a"), (0, "b"), (1, "c"))
    ]
    assert all(torch.equal(made[0][n], made[1][n]) for n in made[0])
    assert not torch.equal(made[0]["down.weight"], made[2]["down.weight"])
    assert not (home.skills / "haiku" / "adapter.safetensors").exists(), "--out says where to write"


# -- failures --------------------------------------------------------------------------------------------------------


def untouched(home: Home) -> bool:
    """No adapter, no card, no temporary file."""
    return {p.name for p in (home.skills / "haiku").iterdir()} == {"skill.toml", "talk.jsonl"}


def test_a_loss_that_is_no_number_is_explained(tiny: Backbone, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "tree_nats", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(AdapterbotError, match=r"the loss is nan at step 0; lower train\.lr \(0\.01\) in skill\.toml"):
        train(write_skill(home), tiny, home)
    assert untouched(home)


def test_the_highest_learning_rate_is_survived(tiny: Backbone, home: Home) -> None:
    """Clipped gradients and the first epoch's weights: what comes out is no worse than nothing, and loads."""
    trained = train(write_skill(home, lr=1.0), tiny, home)
    assert math.isfinite(trained.after)
    load_adapter(trained.folder / "adapter.safetensors", tiny.shape, tiny.fingerprint)


def test_a_write_that_fails_leaves_the_old_adapter(tiny: Backbone, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write_skill(home)
    path = home.skills / "haiku" / "adapter.safetensors"
    random_adapter(tiny, path, 0)
    old = path.read_bytes()

    def full(_: object, temporary: Path, __: object) -> None:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("adapterbot.network.adapters.file.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        train(spec, tiny, home, epochs=1)
    assert path.read_bytes() == old
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize(("lines", "message"), [(0, "has 0 dialogue"), (1, "has 1 dialogue.*at least two are needed")])
def test_too_little_data_is_said(tiny: Backbone, home: Home, lines: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        train(write_skill(home, lines=lines), tiny, home)
    assert untouched(home)


def test_two_dialogues_are_enough(tiny: Backbone, home: Home) -> None:
    assert train(write_skill(home, lines=2), tiny, home, epochs=1).epochs == 1


def test_a_bad_line_is_named_and_nothing_written(tiny: Backbone, home: Home) -> None:
    spec = write_skill(home)
    with (home.skills / "haiku" / "talk.jsonl").open("a") as stream:
        stream.write("\n{}")
    with pytest.raises(DataError, match=r"talk\.jsonl:25: \"turns\" is missing"):
        train(spec, tiny, home)
    assert untouched(home)


@pytest.mark.parametrize(("option", "value"), [("epochs", 0), ("epochs", 1001), ("seed", -1), ("seed", 2**31)])
def test_options_out_of_range_are_refused(tiny: Backbone, home: Home, option: str, value: int) -> None:
    with pytest.raises(SettingError, match=f"{option}={value} is outside"):
        train(write_skill(home), tiny, home, **{option: value})


def test_the_bare_backbone_cannot_be_trained(tiny: Backbone, home: Home) -> None:
    spec = write_skill(home)
    bare = spec.model_copy(update={"adapter": None})
    with pytest.raises(SpecError, match="'haiku' is the backbone alone"):
        train(bare, tiny, home)


@pytest.mark.parametrize("type", ["lora", "prefix", "mam", "pals", "full"])
def test_other_types_learn_and_answer(type: str, tiny: Backbone, home: Home) -> None:
    spec = write_skill(home).of_type(type)
    trained = train(spec, tiny, home, epochs=1)
    assert trained.after < trained.before
    assert len(trained.replies) == 2
    file = load_adapter(trained.folder / "adapter.safetensors", tiny.shape, tiny.fingerprint)
    assert (file.type, file.parameters >= trained.parameters > 0) == (type, True)
    assert f"| adapter | {type}" in (trained.folder / "README.md").read_text(encoding="utf-8")
