"""Several skills named as one: a stack or an average answers wherever a skill can be named."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from conftest import essence

from adapterbot.bot import Bot
from adapterbot.cli.names import check_answering
from adapterbot.errors import AdapterbotError, SettingError, UnknownNameError
from adapterbot.history import History
from adapterbot.turn import Reply

SHORT: dict[str, Any] = {"seed": 3, "max_tokens": 8, "drafts": 1, "temperature": 0}


def test_a_stack_and_an_average_answer_alone_and_beside_others(shared_bot: Bot) -> None:
    names = ["empathetic", "empathetic+persona", "0.7*empathetic+0.3*persona", "persona", "chitchat"]
    requests = [{"message": "I got the job!", "skill": name, **SHORT} for name in names]
    together = [reply for reply in shared_bot.respond_batch(requests) if isinstance(reply, Reply)]
    assert [reply.skill for reply in together] == names
    assert [essence(reply) for reply in together] == [essence(shared_bot.respond(**request)) for request in requests]
    assert len({reply.text for reply in together[:4]}) == 4


def test_all_of_one_skill_is_that_skill(shared_bot: Bot) -> None:
    plain, whole = (shared_bot.respond("Hi", skill=name, **SHORT) for name in ("wiki", "1*wiki"))
    assert plain.text == whole.text
    assert whole.skill == "1*wiki"


def test_a_part_without_an_adapter_adds_nothing(shared_bot: Bot) -> None:
    bank = shared_bot.bank
    assert bank.known("wiki+taxi") == "wiki"
    assert bank.known("taxi") is None


def test_the_first_skill_of_a_stack_reads_its_own_exchanges(shared_bot: Bot) -> None:
    history = History().add_user("Rain?").add_bot("In Oslo.", "weather+persona")
    assert history.thread("weather") == history
    assert not history.thread("persona").utterances


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("empathetic+personna", UnknownNameError, "did you mean 'persona'"),
        ("empathetic+", SettingError, "a name is missing beside \\+"),
        ("0.5*wiki+persona", SettingError, "either every part has a weight"),
        ("half*wiki", SettingError, "'half' is not a weight"),
        ("-1*wiki", SettingError, "a weight is above 0 and at most 4"),
        ("nan*wiki", SettingError, "a weight is above 0 and at most 4"),
        ("wiki+wiki", SettingError, "names 'wiki' twice"),
        ("a+b+c+d+e", SettingError, "names 5 skills; 4 at most"),
    ],
)
def test_what_makes_no_sense_is_told(shared_bot: Bot, name: str, error: type[AdapterbotError], message: str) -> None:
    with pytest.raises(error, match=message):
        shared_bot.respond("Hi", skill=name)
    with pytest.raises(error, match=message):
        check_answering(name)


def test_the_server_takes_a_stack_as_a_model(web: httpx.Client) -> None:
    asked = {"model": "adapterbot/wiki+persona", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    answer = web.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    assert web.get("/v1/models/adapterbot/wiki+persona").status_code == 200
    wrong = web.post("/v1/chat/completions", json={**asked, "model": "adapterbot/wiki+personna"})
    assert wrong.status_code == 404
