"""`adapterbot bench`: every measure of ours runs, and the targets are those that were set."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_adapter

from adapterbot.cli import bench, main
from adapterbot.cli.bench import PARTS, engine, memory, work
from adapterbot.cli.bench.peers import Peer, PeerError, Peers
from adapterbot.cli.bench.results import Row, Series, read_report
from adapterbot.cli.bench.setting import LITTLE, QUICK, Setting, alternate
from adapterbot.cli.bench.smollm2 import gguf_of
from adapterbot.cli.bench.training import PAPER, UPPER, Learner
from adapterbot.cli.console import console
from adapterbot.engine.prefill import Prefill
from adapterbot.errors import DataError, MissingPartError
from adapterbot.evaluation import speed
from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.spec.tables import AdapterTable

# Of each part, by a piece of a row's name and of what it stands beside: the least or the most that the ratio may be.
TARGETS: dict[str, dict[tuple[str, str], tuple[float | None, float | None]]] = {
    "start": {
        ("--help", ""): (None, 0.5),
        ("from the start", ""): (None, 4),
        ("peak of memory", ""): (None, 700),
        ("loading 26 adapters", ""): (None, 1),
        ("a later turn", ""): (None, 400),
        ("chitchat", ""): (None, 0.5),
        ("empathetic", ""): (None, 0.5),
        ("wiki", ""): (None, 0.5),
    },
    "smollm2": {
        ("prefill", "llama.cpp"): (3, None),
        ("batch 1", "llama.cpp"): (1, None),
        ("batch 8, 8 skills", "llama.cpp"): (2.5, None),
    },
    "bandwidth": {("share of the read bandwidth", "memory"): (0.5, None)},
    "gpt2": {
        ("batch 1, fp32", "seq_bn"): (1.5, None),
        ("batch 1, int8", "seq_bn"): (3.5, None),
        ("batch 8, 8 skills, fp32", "BatchSplit"): (2, None),
        ("batch 8, 8 skills, int8", "BatchSplit"): (4, None),
    },
    "skills": {("8 different skills", "one skill"): (0.95, None)},
    "requests": {("at once", "one after the other"): (4, None)},
    "turns": {
        ("first token after", "after 1 turn"): (None, 1.15),
        ("of another skill", "by the same skill"): (None, 1.3),
    },
    "training": {
        ("the paper's adapter", "seq_bn"): (1.3, None),
        ("upper half", "seq_bn"): (3, None),
        ("the paper's adapter", "peft"): (1.3, None),
        ("upper half", "peft"): (3, None),
    },
    "memory": {("skills loaded", "adapters' bytes"): (None, 1.05)},
    "growth": {},
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(on_tiny: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`adapterbot bench` in this process, on the tiny backbone: exit code, stdout, stderr."""
    monkeypatch.setattr(console, "width", 200)  # names are not folded

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["adapterbot", "bench", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture
def setting(on_tiny: None, home: Home, tmp_path: Path) -> Setting:
    """A quick run on the tiny backbone, in whose folder of other libraries there is none."""
    return Setting(home, tmp_path / "peers", QUICK, threads=1)


@pytest.mark.parametrize("name", PARTS)
def test_every_measure_runs_and_is_held_to_its_target(name: str, setting: Setting) -> None:
    for seed, skill in enumerate(("empathetic", "wiki")):  # whose streams are timed
        random_adapter(setting.backbone, setting.home.skills / skill / "adapter.safetensors", seed)
    found = list(bench.part(name)(setting))
    rows = [row for row in found if isinstance(row, Row)]
    assert found
    assert {row.part for row in found} == {name}
    for row in rows:
        if row.why:  # neither of these comes with this environment
            assert re.search("adapterbot bench --get-peers brings it|llama.cpp reads GGUF files", row.why)
            assert re.search("adapters|llama.cpp", row.against)
            assert row.value is row.reached is None
        else:
            assert all(figure > 0 for figure in (*row.ours, *row.theirs))
            assert row.ours
            assert len(row.theirs) == (len(row.ours) if row.against else 0)
    held = [row for row in rows if row.target]
    assert len(held) == len(TARGETS[name])
    for (piece, against), target in TARGETS[name].items():
        (row,) = [row for row in held if piece in row.name and against in row.against]
        assert (row.at_least, row.at_most) == target


def test_peft_and_transformers_are_measured_beside_ours(setting: Setting) -> None:
    rows = [row for row in bench.part("gpt2")(setting) if isinstance(row, Row)]
    beside = {row.against for row in rows if row.value is not None}
    assert {"peft LoRA, one adapter", "peft LoRA, different adapters", "transformers, no adapter"} == beside


def test_growth_goes_along_all_its_points(setting: Setting) -> None:
    last = {one.name: one for one in bench.part("growth")(setting) if isinstance(one, Series)}
    assert [one.x for one in last.values()] == [QUICK.skills, QUICK.mixed, QUICK.at_once, QUICK.histories]
    assert all(figure > 0 for one in last.values() for figure in one.y)
    assert all(len(one.y) == len(one.x) for one in last.values())


def test_contenders_take_turns_and_one_that_fails_leaves_the_others(setting: Setting) -> None:
    order = list[tuple[str, int]]()

    def contender(name: str, fails: bool = False) -> Callable[[int], float]:
        def figure(amount: int) -> float:
            order.append((name, amount))
            if fails:
                raise PeerError("not here")
            return len(order)

        return figure

    contenders = {"a": contender("a"), "none": contender("none", True), "b": contender("b")}
    found = alternate(setting, "", contenders, 7, repeats=2, warm=1)
    assert order == [("a", 1), ("none", 1), ("b", 1), ("a", 7), ("b", 7), ("a", 7), ("b", 7)]
    assert found.values == {"a": (4.0, 6.0), "b": (5.0, 7.0)}
    assert found.row("p", "n", "u", "a", "none", at_least=1).verdict == "not measured: not here"


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    row = Row("p", "n", "u", (1.0, 4.0, 9.0), "b", (1.0, 2.0, 3.0), at_least=2)
    assert (row.value, row.reached, row.target, row.verdict) == (2.0, True, "at least 2 x", "reached")
    assert replace(row, at_least=2.1).reached is False
    assert replace(row, at_least=None, at_most=1.9).verdict == "missed"
    assert replace(row, at_least=None).reached is None
    alone = Row("p", "n", "s", (0.3, 0.1, 0.2), at_most=0.2)
    assert (alone.value, alone.reached, alone.target) == (0.2, True, "at most 0.2")


def test_weights_are_counted_as_they_are_read(tiny: Backbone) -> None:
    bank = work.bank_of(tiny, 1)
    wanted = tiny.parameter_count + bank.parameters(work.skill(0))
    assert work.bytes_read(bank, work.skill(0)) == 4 * wanted
    precise = work.gpt2(LITTLE)
    rounded = work.rounded(precise)
    assert rounded.rounded
    bank = work.bank_of(rounded, 1)
    less = work.bytes_read(bank, work.skill(0)) - 4 * bank.parameters(work.skill(0))
    assert precise.parameter_count < less < 0.4 * 4 * precise.parameter_count  # positions stay as they are
    ids = torch.arange(9)[None]
    with torch.inference_mode():
        ours, theirs = (backbone.decoder.logits(backbone.decoder(ids)) for backbone in (rounded, precise))
    assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.99


def test_skills_of_a_bank_are_different_and_change_the_reply(tiny: Backbone) -> None:
    bank = work.bank_of(tiny, work.MANY)
    wanted = [speed.request(tiny, 0, name, 12, 8) for name in (None, *work.mixed(3, 3))]
    replies = {tuple(drafts[0].ids) for drafts in work.scheduler_of(tiny).grow(bank, wanted)}
    assert len(replies) > 1
    assert {len(reply) for reply in replies} == {8}
    weights = [bank.file(work.skill(i)).stored["down.weight"] for i in range(work.MANY)]
    assert not any(torch.equal(weights[0], other) for other in weights[1:])


def test_a_conversation_that_was_read_is_not_read_again(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[int]()
    before = Prefill.read

    def counted(self: Prefill, most: int) -> int:
        done = before(self, most)
        read.append(done)
        return done

    monkeypatch.setattr(Prefill, "read", counted)
    bank = work.bank_of(tiny, 2)
    for adapter in (0, 1):
        read.clear()
        assert engine.first_token(bank, 4, adapter, 12) > 0
        assert sum(read) == 5 * 12 + speed.OPENING  # what opens a reply is read by its skill


def test_memory_is_that_of_a_process_of_its_own(setting: Setting) -> None:
    alone, nothing = memory.taken(setting, 0)
    megabytes, adapters = memory.taken(setting, 3)
    assert nothing == 0
    assert adapters == pytest.approx(memory.adapter_bytes(setting, 3))
    assert adapters > 0
    assert min(alone, megabytes) > 50  # torch is in it


@pytest.mark.parametrize("table", [PAPER, UPPER, work.SHIPPED])
def test_an_update_learns(table: AdapterTable, tmp_path: Path) -> None:
    learner = Learner(work.gpt2(LITTLE), table, 8, 16, tmp_path)
    for group in learner.optimizer.param_groups:
        group["lr"] = 1e-2
    losses = [learner.step() for _ in range(12)]
    assert losses[-1] < losses[0] - 0.01
    assert bool(learner.trunks.kept) == (table is not PAPER)  # whose first block has an adapter already


def test_the_report_goes_to_json_and_back_and_stays_when_stopped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "first_token", interrupted)
    out = tmp_path / "report.json"
    code, said, err = run("--quick", "--only", "skills", "--only", "turns", "--threads", "1", "--json", out)
    assert (code, err) == (130, "adapterbot: stopped; 1 rows were measured\n")
    assert "8 different skills" in said
    report = read_report(out)
    assert (report.stopped, report.quick, [row.part for row in report.rows]) == (True, True, ["skills"])
    assert json.loads(out.read_text(encoding="utf-8"))["rows"][0]["value"] == report.rows[0].value
    again = tmp_path / "again.json"
    assert run("--read", out, "--json", again)[0] == 0
    assert again.read_bytes() == out.read_bytes()
    out.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="no report of the bench"):
        read_report(out)


def test_wrong_wishes_are_one_line(run: Run, tmp_path: Path) -> None:
    code, _, err = run("--only", "gpt3")
    assert (code, err.count("\n")) == (1, 1)
    assert "gpt2" in err
    code, _, err = run("--quick", "--page", tmp_path)
    assert (code, err.count("\n")) == (1, 1)
    assert not list(tmp_path.glob("*.md"))


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_a_library_that_ends_or_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"it has ended: no such thing"):
        Peer("it", ["sh", "-c", "echo no such thing >&2"])
    with Peers(tmp_path, 1) as peers:
        peer = peers.torch("transformers", LITTLE)
        assert peer is peers.torch("transformers", LITTLE)
        with pytest.raises(PeerError, match="KeyError"):
            peer.seconds("dance")
        assert peer.seconds("decode", rows=1, prompt=4, tokens=2) > 0  # it goes on


@pytest.mark.skipif("ADAPTERBOT_PEERS" not in os.environ, reason="$ADAPTERBOT_PEERS is not set")
def test_libraries_that_are_not_in_this_environment(home: Home) -> None:
    try:
        gguf = gguf_of(home)
    except MissingPartError as error:
        pytest.skip(str(error))
    with Peers(Path(os.environ["ADAPTERBOT_PEERS"]), 1) as peers:
        llama = peers.llama_cpp(gguf, 2, 64)
        assert llama.seconds("prefill", rows=1, prompt=8) > 0
        assert llama.seconds("decode", rows=2, prompt=4, tokens=2) > 0
        adapters = peers.torch("adapters", LITTLE)
        assert adapters.seconds("decode", rows=8, prompt=4, tokens=2, mixed=True) > 0
        assert adapters.seconds("train", rows=2, tokens=8, steps=1) > 0
