"""The command line: help is instant, errors are one line, and a new skill needs a folder and one command."""

from __future__ import annotations

import builtins
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import random_adapter
from llama_folders import make_model

import adapterbot
from adapterbot.bot import Bot
from adapterbot.cli import main
from adapterbot.cli.talk import talk
from adapterbot.home import Home
from adapterbot.network.backbone import read_backbone
from adapterbot.storage.conversations import Store
from adapterbot.training.objective import Objective
from adapterbot.turn import DECODE_SETTINGS, Reply

COMMANDS = (
    "respond",
    "chat",
    "ui",
    "train-skill",
    "train-manager",
    "evaluate",
    "skills",
    "bench",
    "doctor",
    "fetch",
    "sessions",
)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(on_tiny: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process, on the tiny backbone: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["adapterbot", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.mark.parametrize("command", ["", *COMMANDS, "sessions list", "sessions show", "sessions rm"])
def test_every_command_explains_itself(run: Run, command: str) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert "Usage" in out
    if not command:
        assert all(name in out for name in COMMANDS)


def test_help_is_quick_and_loads_no_network_library() -> None:
    heavy = ("torch", "numpy", "pydantic", "gradio", "sqlalchemy")
    code = (
        "import sys; sys.argv = ['adapterbot', '--help']\n"
        "from adapterbot.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print([m for m in {heavy} if m in sys.modules])"
    )
    seconds = []
    for _ in range(2):
        before = os.times()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        after = os.times()  # the processor's time: a busy machine makes nobody fail
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert done.stdout.splitlines()[-1] == "[]"
    assert min(seconds) < 1, "0.2 s, import and help"


def test_respond_prints_the_whole_reply_as_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_text(
        '[{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello."}]'
    )
    options = ["--skill", "chitchat", "--seed", "3", "--drafts", "2", "--max-tokens", "8", "--fact", "I am a cook."]
    code, out, err = run("respond", "How are you?", "--history", tmp_path / "talk.json", "--json", *options)
    assert code == 0, err
    reply = json.loads(out)
    assert (reply["skill"], reply["routed_by"], reply["seed"], len(reply["drafts"])) == ("chitchat", "forced", 3, 2)
    assert [turn["text"] for turn in reply["history"]] == ["Hi!", "Hello.", "How are you?", reply["text"]]
    assert reply["facts"][0]["text"] == "I am a cook."
    code, out, _ = run("respond", "How are you?", "--history", tmp_path / "talk.json", *options)
    assert out == f"[chitchat] {reply['text']}\n"


@pytest.mark.parametrize("arguments", [["respond", "-"], ["respond"]])
def test_respond_reads_standard_input(on_tiny: None, arguments: list[str]) -> None:
    command = [sys.executable, "-c", "from adapterbot.cli import main; main()", *arguments]
    options = ["--skill", "chitchat", "--json", "--max-tokens", "3"]
    done = subprocess.run([*command, *options], input=b"Hello,\nyou!\n", capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["history"][0]["text"] == "Hello, you!"
    nothing = subprocess.run(
        [*command, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert (nothing.returncode, nothing.stderr) == (1, "adapterbot: the message is empty\n")
    odd = subprocess.run([*command, *options], input=b"\xff", capture_output=True, timeout=120)
    assert odd.stderr.startswith(b"adapterbot: standard input is not UTF-8")


@pytest.mark.parametrize("command", ["respond", "chat"])
def test_every_decode_setting_is_an_option(run: Run, command: str) -> None:
    out = run(command, "--help")[1]
    for name in DECODE_SETTINGS:
        assert f"--{name.replace('_', '-')} " in out


def test_decode_options_reach_the_reply(run: Run) -> None:
    options = ["--skill", "chitchat", "--seed", "3", "--temperature", "0", "--min-tokens", "9", "--max-tokens", "9"]
    more = ["--top-k", "5", "--no-repeat-ngram", "2", "--repetition-penalty", "1.5"]
    reply = json.loads(run("respond", "How are you?", "--json", *options, *more)[1])
    assert (reply["seed"], reply["drafts"][0]["tokens"]) == (3, 9)


def test_the_version_is_told_alone(run: Run) -> None:
    assert run("--version") == (0, f"adapterbot {adapterbot.__version__}\n", "")


def test_wrong_usage_is_one_line_that_says_where_to_look(run: Run) -> None:
    code, out, err = run("respond", "Hi", "--skil", "wiki")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--skil" in err
    assert "--skill" in err
    assert err.endswith("(see: adapterbot respond --help)\n")
    assert run()[0] in (0, 2)


@pytest.mark.parametrize("place", ["adapterbot.bot.Bot.load", "adapterbot.spec.folders.SkillFolders.folder"])
def test_ctrl_c_is_one_line_and_130(run: Run, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupted)
    assert run("respond", "Hi", "--skill", "chitchat") == (130, "", "adapterbot: stopped\n")


def test_an_evaluation_that_is_stopped_keeps_what_was_judged(
    run: Run, tiny_folder: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterbot.evaluation import baselines

    for name in ("persona", "joy"):
        random_adapter(read_backbone(tiny_folder), home.skills / name / "adapter.safetensors", 0)
    judge, judged = baselines.evaluate_named, list[str]()

    def once(bot: Bot, name: str, *rest: Any, **options: Any) -> Any:
        if judged:
            raise KeyboardInterrupt
        judged.append(name)
        return judge(bot, name, *rest, **options)

    monkeypatch.setattr(baselines, "evaluate_named", once)
    talks, figures = _talk(tmp_path / "talk.jsonl", 3), tmp_path / "figures.json"
    code, out, err = run("evaluate", "persona", "joy", "--data", talks, "--most", "1", "--json", figures)
    assert code == 130
    assert err.splitlines()[-1] == "adapterbot: stopped; 1 of 2 were judged"
    assert "persona" in out
    assert json.loads(figures.read_text()).keys() == {"persona"}


def test_respond_lets_the_manager_choose(run: Run) -> None:
    code, out, _ = run("respond", "hello", "--json", "--max-tokens", "5")
    assert code == 0
    assert json.loads(out)["routed_by"] in {"manager", "fallback", "only"}


ERRORS: list[tuple[list[str], str]] = [
    (["respond", "Hi", "--skill", "wheather"], "unknown skill 'wheather'; did you mean"),
    (["respond", "Hi", "--skill", "../../etc/passwd"], "cannot name a skill"),
    (["respond", " "], "the message is empty"),
    (["respond", "Hi", "--skill", "chitchat", "--temperature", "-1"], "temperature=-1.0 is outside 0 to 5"),
    (["respond", "Hi", "--skill", "chitchat", "--temperature", "nan"], "temperature=nan"),
    (["respond", "Hi", "--skill", "chitchat", "--drafts", "1000000"], "drafts=1000000 is outside 1 to 32"),
    (["respond", "Hi", "--history", "gone.json"], "gone.json: No such file"),
    (["respond", "Hi", "--history", "bad.json"], "bad.json: not JSON"),
    (["respond", "Hi", "--history", "odd.json"], "a history is a list"),
    (["respond", "Hi", "--backbone", "gpt5"], "unknown backbone"),
    (["respond", "Hi", "--backbone", "microsoft/DialoGPT-small"], "connect to the hub once"),
    (["train-skill", "wheather"], "did you mean 'weather'"),
    (["train-skill", "../wiki"], "cannot name a skill"),
    (["train-skill", "wiki", "--type", "lorra"], "'lorra' is not known; did you mean 'lora'"),
    (["train-skill", "wiki", "--data", "gone.jsonl"], "gone.jsonl does not exist"),
    (["train-skill", "wiki", "--data", "bad.json"], "bad.json:1: not JSON"),
    (["train-skill", "wiki", "--data", "hub:facebook/empathetic_dialogues"], "give files by --data"),
    (["train-skill", "wiki", "--epochs", "0", "--force"], "epochs=0 is outside"),
    (["evaluate", "wheather"], "unknown skill or target 'wheather'; did you mean 'weather'"),
    (["evaluate", "manger"], "did you mean 'manager'"),
    (["evaluate", "manager"], "needs --data FILE"),
    (["evaluate", "styles", "--data", "gone"], "gone does not exist"),
    (["evaluate", "claims"], "needs --data FOLDER"),
    (["evaluate", "grounding"], "evaluate grounding needs --data FILE"),
    (["evaluate", "grounding", "--data", "odd.json"], "odd.json:1: not {"),
    (["evaluate", "manager", "--data", "odd.json", "--html", "page.html"], "is about skills"),
    (["chat", "--session", "../x"], "session id '../x'"),
    (["chat", "--skill", "wheather"], "did you mean 'weather'"),
    (["ui", "--backbone", "gpt5"], "unknown backbone"),
    (["sessions", "show", "nobody"], "unknown session 'nobody'"),
    (["sessions", "rm", "a/b"], "session id 'a/b'"),
    (["sessions", "export"], "name one conversation, or give --feedback"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), ERRORS, ids=lambda v: " ".join(v)[:50] if isinstance(v, list) else ""
)
def test_an_error_is_one_line_and_exit_code_1(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("{")
    Path("odd.json").write_text('"Hi"')
    code, out, err = run(*arguments)
    assert (code, out.strip()) == (1, "")
    (told,) = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert told.startswith("adapterbot: ")
    assert message in told


def test_a_home_that_cannot_be_written_is_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ADAPTERBOT_HOME", str(tmp_path / "file"))
    code, _, err = run("train-skill", "persona", "--epochs", "1", "--data", _talk(tmp_path / "talk.jsonl", 4))
    assert code == 1
    assert err.splitlines()[-1].startswith("adapterbot: ")
    assert "Traceback" not in err


# -- a new skill -----------------------------------------------------------------------------------------------------

HAIKU = """summary = "Answers in verse."
group = "style"
data = { path = "talk.jsonl" }
adapter = { bottleneck = 4, first_layer = 1 }
decode = { max_tokens = 6 }
routing = { auto = true, examples = ["Write me a haiku about snow.", "A short poem, please."] }
"""


def _talk(path: Path, lines: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "turns": [
                {"speaker": "user", "text": f"A haiku of {i}"},
                {"speaker": "system", "text": f"{i} frogs, one pond"},
            ]
        }
        for i in range(lines)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_new_skill_is_a_folder_and_one_command(run: Run, home: Home, tmp_path: Path) -> None:
    folder = home.skills / "haiku"
    _talk(folder / "talk.jsonl", 30)
    (folder / "skill.toml").write_text(HAIKU)
    code, _, err = run("respond", "Hi", "--skill", "haiku")
    assert code == 1
    assert err.splitlines()[-1] == (
        "adapterbot: skill 'haiku' has no adapter yet; train it: adapterbot train-skill haiku"
    )
    code, out, _ = run("train-skill", "haiku", "--epochs", "1")
    assert code == 0, out
    assert "perplexity on validation replies" in out
    assert re.search(r"^all \d+ steps done; best epoch 1 of 1$", out, re.MULTILINE)
    assert "you: Write me a haiku about snow." in out
    rows = {row["name"]: row for row in json.loads(run("skills", "--json")[1])}
    assert (rows["haiku"]["adapter"], rows["haiku"]["problem"]) == ("trained", "")
    assert "haiku" in run("skills")[1]
    code, out, err = run("respond", "Snow, please.", "--skill", "haiku")
    assert (code, out[:7]) == (0, "[haiku]"), err
    reply = json.loads(run("respond", "Write me a haiku about snow.", "--json", "--max-tokens", "5")[1])
    assert reply["skill"] in {"haiku", "chitchat"}
    assert reply["routed_by"] == "only" or "haiku" in reply["scores"]
    code, _, _ = run("evaluate", "haiku", "--most", "2", "--json", tmp_path / "figures.json")
    assert code == 0
    assert json.loads((tmp_path / "figures.json").read_text())["haiku"]["replies"] >= 1


def test_a_polite_kill_stops_a_training_with_a_word(run: Run, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _talk(home.skills / "haiku" / "talk.jsonl", 30)
    (home.skills / "haiku" / "skill.toml").write_text(HAIKU)
    loss = Objective.loss

    def killed(objective: Objective, batch: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return loss(objective, batch)

    monkeypatch.setattr(Objective, "loss", killed)
    before = signal.getsignal(signal.SIGTERM)
    try:
        code, _, err = run("train-skill", "haiku")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert code == 130
    assert "the same command goes on from the last checkpoint" in err


def test_check_finds_a_skill_with_a_fault(run: Run, home: Home) -> None:
    (home.skills / "haiku").mkdir(parents=True)
    (home.skills / "haiku" / "skill.toml").write_text(HAIKU + "turms = 3")
    code, out, _ = run("skills", "--check")
    assert code == 1
    assert "turms" in out
    problems = {row["name"]: row["problem"] for row in json.loads(run("skills", "--json")[1])}
    assert "turms" in problems["haiku"]
    assert problems["chitchat"] == ""


def test_sessions_are_listed_shown_and_removed(run: Run, home: Home) -> None:
    assert run("sessions", "list") == (0, "", "")
    Store(home.database).append("anna", "Hello", Reply("Hi!", "chitchat"))
    code, out, _ = run("sessions", "list")
    assert code == 0
    assert out.startswith("anna  1 turns  last 20")
    assert json.loads(run("sessions", "show", "anna")[1])["turns"][0]["reply"] == "Hi!"
    assert "## adapterbot (" in run("sessions", "export", "anna", "--markdown")[1]
    assert json.loads(run("sessions", "export", "anna")[1])["session"] == "anna"
    assert run("sessions", "export", "--feedback") == (0, "", "")
    Store(home.database).judge("anna", 1, 1)
    assert json.loads(run("sessions", "export", "--feedback")[1])["turns"][1]["text"] == "Hi!"
    assert run("sessions", "rm", "anna")[:2] == (0, "removed anna\n")
    assert run("sessions", "list")[1] == ""


def test_the_doctor_says_what_there_is(run: Run, home: Home) -> None:
    _, out, _ = run("doctor")
    assert str(home.root) in out
    assert "ok       torch" in out
    assert re.search(r"^ok       backbone .*tiny.*: [\d,]+ parameters", out, re.MULTILINE)
    assert "ok       skill chitchat" in out
    assert "broken   skill" not in out, "adapters of another backbone are told of together"
    assert len(re.findall(r"trained on another backbone", out)) <= 1


# -- chat ------------------------------------------------------------------------------------------------------------


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """What a person types; then Ctrl-D."""
    waiting = iter(lines)

    def read(*_: object) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(builtins, "input", read)


def test_talking_in_the_terminal(
    tiny_bot: Bot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "Hello", "/skill persona", "Who are you?", "/skill [/dim]", "Hi", "", "/auto", "/undo", "/help")
    talk(tiny_bot, "anna", "chitchat", {"seed": 1})
    out = capsys.readouterr().out
    assert "chitchat (forced)" in out
    assert "persona (forced)" in out
    assert "unknown skill '[/dim]'" in out
    assert "the message is empty" in out
    assert tiny_bot.session("anna").history.texts[0] == "Hello"
    assert len(tiny_bot.session("anna").history) == 4, "the third exchange was taken back"


def test_quit_ends_the_talk(tiny_bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "/quit", "Hello")
    talk(tiny_bot, "anna", "chitchat", {"seed": 1})
    assert len(tiny_bot.session("anna").history) == 0


def test_fetch_says_where_a_backbone_lies_and_else_in_one_line_why_not(
    run: Run, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("fetch", tmp_path) == (0, f"{tmp_path}\n", "")
    monkeypatch.setenv("ADAPTERBOT_OFFLINE", "1")
    for name, reason in (
        ("smollm2", "smollm2 cannot be fetched: ADAPTERBOT_OFFLINE is set"),
        ("dialogpt-medium", "'microsoft/DialoGPT-medium' is not on this machine and cannot be fetched"),
        ("smollm3", "did you mean 'smollm2'?"),
    ):
        code, out, err = run("fetch", name)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert reason in err
    assert not home.backbones.exists()


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_folder_of_llamas_family_answers_and_learns(run: Run, home: Home, tmp_path: Path, kind: str) -> None:
    make_model(kind, tmp_path / kind, num_hidden_layers=8, max_position_embeddings=256)
    code, out, _ = run("respond", "hello", "--backbone", tmp_path / kind, "--max-tokens", "8")
    assert code == 0
    assert out.startswith("[")
    _talk(home.skills / "haiku" / "talk.jsonl", 30)
    (home.skills / "haiku" / "skill.toml").write_text(HAIKU)
    code, out, err = run("train-skill", "haiku", "--backbone", tmp_path / kind, "--epochs", "1")
    assert (code, err) == (0, "")
    assert "haiku: perplexity on validation replies" in out
    code, out, _ = run("respond", "autumn", "--skill", "haiku", "--backbone", tmp_path / kind, "--max-tokens", "8")
    assert code == 0
    assert out.startswith("[haiku]")
