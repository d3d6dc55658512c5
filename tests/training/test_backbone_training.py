"""Pretraining: from a folder of dialogues to a model that others load, whatever stops it on the way."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterbot.data.corpora import load_path
from adapterbot.errors import AdapterbotError, DataError, SettingError, WeightsError
from adapterbot.home import DATA
from adapterbot.network import checkpoint
from adapterbot.network.architectures.gpt2 import GPT2
from adapterbot.network.backbone import Backbone, read_backbone
from adapterbot.network.checkpoint import FILE
from adapterbot.training import backbone as pretraining
from adapterbot.training.backbone import PretrainingResult, PretrainSettings, pretrain
from adapterbot.training.bits_per_byte import bits_per_byte
from adapterbot.training.documents import validation_documents

SAMPLES = DATA / "samples"
TINY = PretrainSettings(tokens=40_000, vocabulary=600, width=32, layers=1, positions=64, lr=3e-3)
OPTIONS = ["--vocabulary", "600", "--width", "32", "--layers", "1", "--positions", "64", "--lr", "3e-3"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PretrainingResult:
    """A run of some forty updates on the chitchat samples."""
    return pretrain(SAMPLES / "chitchat.jsonl", tmp_path_factory.mktemp("made"), TINY, quiet=True)


@pytest.fixture(scope="module")
def model(made: PretrainingResult) -> Backbone:
    return read_backbone(made.folder)


def test_it_has_learnt(made: PretrainingResult, model: Backbone) -> None:
    valid = load_path(SAMPLES / "chitchat.jsonl")["valid"]
    decoder = GPT2(model.shape)
    decoder.draw(torch.Generator().manual_seed(0))
    blank = Backbone("", decoder, model.tokenizer, "")
    untrained = bits_per_byte(blank, validation_documents(valid, 64))
    assert made.bits_per_byte["chitchat"] < 0.9 * untrained
    assert not (made.folder / "checkpoint").exists()


def test_transformers_loads_it_and_gives_the_same_logits(made: PretrainingResult, model: Backbone) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs = AutoModelForCausalLM.from_pretrained(made.folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(made.folder)
    text = "Hello! How was  your day, Zoë?"
    ids = model.tokenizer.encode(text)
    assert tokenizer.encode(text, add_special_tokens=False) == ids
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id == model.tokenizer.separator
    with torch.inference_mode():
        ours = model.decoder.logits(model.decoder(torch.tensor([ids])))
        assert torch.allclose(ours, theirs(torch.tensor([ids])).logits, atol=1e-4)


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    chosen = replace(TINY, tokens=80_000)
    whole = pretrain(SAMPLES / "chitchat.jsonl", tmp_path / "whole", chosen, quiet=True)
    code = (
        "import sys; from pathlib import Path\n"
        "from adapterbot.training.backbone import PretrainSettings, pretrain\n"
        "import torch; torch.set_num_threads(1)\n"
        f"pretrain(*map(Path, sys.argv[1:]), {chosen!r}, quiet=True, checkpoint_seconds=0.0)\n"
    )
    state = tmp_path / "killed" / "checkpoint" / FILE
    arguments = [str(SAMPLES / "chitchat.jsonl"), str(tmp_path / "killed")]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    first = 0
    while process.poll() is None and first < 2:  # two checkpoints were written: the first one is of step 0
        first += bool(state.is_file() and _step(state))
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert _step(state) > 0
    resumed = pretrain(SAMPLES / "chitchat.jsonl", tmp_path / "killed", chosen, quiet=True)
    assert resumed.resumed_at > 0
    assert resumed.tokens == whole.tokens
    assert read_backbone(resumed.folder).fingerprint == read_backbone(whole.folder).fingerprint


def _step(state: Path) -> int:
    from safetensors import safe_open

    with safe_open(state, framework="pt") as file:
        return int(json.loads(file.metadata()["progress"])["step"])


def _stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: PretrainSettings) -> Path:
    """A folder in which a run was stopped after a few updates."""
    calls = iter(range(100))

    def stop(self: Any, *_: Any) -> None:
        if next(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretraining.Pretraining, "_note", stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain(SAMPLES / "chitchat.jsonl", tmp_path / "out", chosen, quiet=True)
    return tmp_path / "out"


def test_a_checkpoint_of_another_configuration_says_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = _stopped(tmp_path, monkeypatch, TINY)
    with pytest.raises(WeightsError, match=r"another configuration \(width is 32 there and 48 now\)"):
        pretrain(SAMPLES / "chitchat.jsonl", out, replace(TINY, width=48), quiet=True)
    with pytest.raises(WeightsError, match="corpora is"):
        pretrain(SAMPLES / "wiki.jsonl", out, TINY, quiet=True)


def test_ctrl_c_keeps_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = _stopped(tmp_path, monkeypatch, TINY)
    assert pretrain(SAMPLES / "chitchat.jsonl", out, TINY, quiet=True).resumed_at == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_update_waits_until_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    whole = torch.optim.AdamW.step
    state = tmp_path / "out" / "checkpoint" / FILE
    calls = iter(range(1, 100))

    def step(self: torch.optim.AdamW, *arguments: Any) -> None:
        whole(self, *arguments)
        if next(calls) == 5:
            os.kill(os.getpid(), number)

    before = signal.signal(number, stop)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", step)
            with pytest.raises(KeyboardInterrupt):
                pretrain(SAMPLES / "chitchat.jsonl", tmp_path / "out", TINY, quiet=True)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    assert _step(state) == 5


def test_a_damaged_checkpoint_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = _stopped(tmp_path, monkeypatch, TINY)
    (out / "checkpoint" / FILE).write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"checkpoint\.safetensors is damaged .* delete .*checkpoint to start again"):
        pretrain(SAMPLES / "chitchat.jsonl", out, TINY, quiet=True)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining, "learning_rate", lambda *_: 1e20)
    with pytest.raises(AdapterbotError, match=r"the loss is .* at step \d+: give a lower --lr than 0\.003"):
        pretrain(SAMPLES / "chitchat.jsonl", tmp_path / "out", TINY, quiet=True, checkpoint_seconds=0.0)
    assert (tmp_path / "out" / "checkpoint" / FILE).is_file()
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_full_disk_leaves_the_last_checkpoint_and_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = _stopped(tmp_path, monkeypatch, TINY)
    state = out / "checkpoint" / FILE
    before = state.read_bytes()

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        pretrain(SAMPLES / "chitchat.jsonl", out, TINY, quiet=True)
    assert state.read_bytes() == before
    assert not list((out / "checkpoint").glob(".*"))


def test_it_goes_on_from_a_backbone_with_its_vocabulary(
    made: PretrainingResult, model: Backbone, tmp_path: Path
) -> None:
    told = list[str]()
    chosen = PretrainSettings(start=str(made.folder), tokens=8_000, positions=64)
    pretrain(SAMPLES / "chitchat.jsonl", tmp_path, chosen, quiet=True, announce=told.append)
    again = read_backbone(tmp_path)
    assert again.tokenizer.to_json() == model.tokenizer.to_json()
    assert again.fingerprint != model.fingerprint
    found = re.search(r"^step .* validation ([\d.]+) bits", "\n".join(told), re.MULTILINE)
    assert found is not None
    assert float(found[1]) < 1.2 * made.bits_per_byte["chitchat"]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="90,000 is larger than this data allows"):
        pretrain(SAMPLES / "chitchat.jsonl", tmp_path, PretrainSettings(vocabulary=90_000), quiet=True)
    with pytest.raises(SettingError, match="brings its vocabulary"):
        pretrain(SAMPLES / "chitchat.jsonl", tmp_path / "x", PretrainSettings("smollm2", vocabulary=600), quiet=True)


def test_a_large_model_goes_into_several_files_and_comes_back(
    model: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    from adapterbot.network import backbone as module

    monkeypatch.setattr(module, "LARGEST_FILE", 20_000)
    module.save_backbone(tmp_path, model.decoder, model.tokenizer, {})
    files = sorted(p.name for p in tmp_path.glob("*.safetensors"))
    assert len(files) > 2
    assert read_backbone(tmp_path).fingerprint == model.fingerprint
    theirs: Any = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ours = model.decoder.get_submodule(model.decoder.embeddings)
    assert torch.equal(theirs.get_input_embeddings().weight, ours.get_parameter("weight"))
    monkeypatch.undo()
    module.save_backbone(tmp_path, model.decoder, model.tokenizer, {})
    assert [p.name for p in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["-m", "adapterbot.cli", "pretrain", "--data", str(SAMPLES / "chitchat.jsonl")]
    command += ["--out", str(tmp_path / "out"), "--tokens", "6000", *OPTIONS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_backbone(tmp_path / "out").shape.width == 32
    assert done.stdout.count("wrote ") == 1


def test_the_command_stops_politely_and_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "adapterbot.cli", "pretrain", "--data", str(SAMPLES / "chitchat.jsonl")]
    command += ["--out", str(tmp_path / "out"), "--tokens", "400000", *OPTIONS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(line.startswith("step ") for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from the last checkpoint" in said
    assert _step(tmp_path / "out" / "checkpoint" / FILE) > 0
