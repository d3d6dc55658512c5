"""Responses, asked by OpenAI's own client: whole, as events, and one after the other."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from conftest import make_bot
from servers import serving

from adapterbot.bot import Bot
from adapterbot.errors import ReplyError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.serving.openai.responses import Kept
from adapterbot.serving.refusals import ApiError
from adapterbot.storage.keys import KeyStore

SHORT: dict[str, Any] = {"model": "adapterbot/persona", "max_output_tokens": 6, "extra_body": {"drafts": 1, "seed": 1}}
SAME: dict[str, Any] = {"skill": "persona", "max_tokens": 6, "drafts": 1, "seed": 1}


def test_a_response_is_the_bots_own_reply(client: openai.OpenAI, shared_bot: Bot) -> None:
    done = client.responses.create(input="Hello there", instructions="Be kind.", **SHORT)
    same = shared_bot.respond("Hello there", **SAME)
    assert done.output_text == same.text
    assert done.status in ("completed", "incomplete")
    assert (done.object, done.model) == ("response", "adapterbot/persona")
    assert done.usage is not None
    assert done.usage.input_tokens == same.prompt_tokens
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    extra: Any = done.model_extra
    assert extra["adapterbot"]["skill"] == "persona"


def test_a_conversation_is_read_in_its_parts(client: openai.OpenAI, shared_bot: Bot) -> None:
    talk: list[Any] = [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi!"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hello.", "annotations": []}]},
        {"role": "user", "content": "And you?"},
    ]
    done = client.responses.create(input=talk, **SHORT)
    assert done.output_text == shared_bot.respond("And you?", [["Hi!", "Hello."]], **SAME).text


def test_its_events_are_those_that_the_client_waits_for(client: openai.OpenAI) -> None:
    whole = client.responses.create(input="Hello there", **SHORT)
    events = list(client.responses.create(input="Hello there", stream=True, **SHORT))
    kinds = [event.type for event in events]
    middle = [kind for kind in kinds if kind != "response.output_text.delta"]
    assert middle == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        f"response.{whole.status}",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text
    last: Any = events[-1]
    assert last.response.output_text == whole.output_text
    assert last.response.usage == whole.usage


def test_the_clients_helper_understands_the_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(input="Hello there", **SHORT) as stream:
        kinds = {event.type for event in stream}
    assert {"response.created", "response.output_text.delta", "response.output_text.done"} <= kinds


def test_a_response_goes_on_with_another(client: openai.OpenAI, shared_bot: Bot) -> None:
    first = client.responses.create(input="Hello there", **SHORT)
    second = client.responses.create(input="And you?", previous_response_id=first.id, **SHORT)
    same = shared_bot.respond("And you?", [["Hello there", first.output_text]], **SAME)
    assert second.output_text == same.text
    assert client.responses.retrieve(first.id).output_text == first.output_text
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError, match="response"):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError, match="response"):
        client.responses.create(input="And you?", previous_response_id=first.id, **SHORT)
    unkept = client.responses.create(input="Hello there", store=False, **SHORT)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unkept.id)


def test_no_other_key_reads_a_response(tiny: Backbone, home: Home) -> None:
    store = KeyStore(home.database)
    anna, ben = store.new("anna"), store.new("ben")
    with serving(make_bot(tiny, home), store) as address:
        own, other = (openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) for key in (anna, ben))
        made = own.responses.create(input="My secret", **SHORT)
        assert own.responses.retrieve(made.id).id == made.id
        for ask in (other.responses.retrieve, other.responses.delete):
            with pytest.raises(openai.NotFoundError):
                ask(made.id)
        own.close()
        other.close()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [1]}, "input"),
        ({"input": [{"role": "assistant", "content": "Hi"}]}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "input"),
        ({"input": ["Hi"]}, "input"),
        ({"input": {"role": "user", "content": "Hi"}}, "input"),
        ({"input": [{"role": "user", "content": None}]}, "input"),
        ({"input": [{"type": "message", "content": "Hi"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": None}]}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}]}, "input"),
        ({"input": ""}, None),
        ({"instructions": ["Be kind."]}, "instructions"),
        ({"previous_response_id": 5}, "previous_response_id"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"logprobs": True}, "logprobs"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"text": {"format": "json"}}, "text"),
        ({"text": "json"}, "text"),
        ({"metadata": [1]}, "metadata"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}}, "text"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"n": 2}, "n"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 9}, None),
    ],
)
def test_what_cannot_be_honoured_is_refused(web: httpx.Client, change: dict[str, Any], param: str | None) -> None:
    answer = web.post("/v1/responses", json={"input": "Hello", "drafts": 1, "max_output_tokens": 2} | change)
    assert answer.status_code == 400, answer.text
    assert (answer.json()["error"]["param"] or "").partition(".")[0] == (param or "")


def test_what_asks_for_nothing_is_passed_over(web: httpx.Client) -> None:
    given = {
        "nobody_knows": {"deep": [1, 2]},
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "high"},
        "stream_options": {"include_obfuscation": False},
        "text": {"format": {"type": None}, "verbosity": "low"},
        "tools": [{"type": "web_search"}],
        "tool_choice": {"type": "none"},
        "parallel_tool_calls": True,
        "previous_response_id": "",
    }
    answer = web.post("/v1/responses", json=given | {"input": "Hello", "drafts": 1, "max_output_tokens": 2})
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "adapterbot"
    assert (answer.json()["tools"], answer.json()["instructions"], answer.json()["store"]) == ([], None, True)


def test_what_nobody_said_is_passed_over(client: openai.OpenAI, shared_bot: Bot) -> None:
    talk: list[Any] = [
        {"role": "user", "content": "Hi!"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {"type": "item_reference", "id": "msg_1"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "message", "role": "assistant", "id": None, "content": [{"type": "output_text", "text": "Hello."}]},
        {"role": "user", "content": [{"type": "input_text", "text": "And"}, {"type": "input_text", "text": "you?"}]},
    ]
    done = client.responses.create(input=talk, **SHORT)
    assert done.output_text == shared_bot.respond("And\nyou?", [["Hi!", "Hello."]], **SAME).text


def test_instructions_are_of_one_response_alone(client: openai.OpenAI) -> None:
    first = client.responses.create(input="Hello there", instructions="Be kind.", metadata={"a": "b"}, **SHORT)
    assert (first.instructions, first.metadata) == ("Be kind.", {"a": "b"})
    second = client.responses.create(input="And you?", previous_response_id=first.id, **SHORT)
    assert (second.instructions, second.metadata, second.previous_response_id) == (None, {}, first.id)


def test_events_name_their_places(client: openai.OpenAI) -> None:
    events: list[Any] = list(client.responses.create(input="Hello there", stream=True, **SHORT))
    ids = {event.response.id for event in events if hasattr(event, "response")}
    assert len(ids) == 1
    added = next(event for event in events if event.type == "response.output_item.added")
    assert (added.item.status, added.item.content) == ("in_progress", [])
    placed = [event for event in events if hasattr(event, "content_index")]
    assert {(event.item_id, event.output_index, event.content_index) for event in placed} == {(added.item.id, 0, 0)}
    done = next(event for event in events if event.type == "response.output_item.done")
    assert [item.to_dict() for item in events[-1].response.output] == [done.item.to_dict()]
    assert events[0].response.usage is None
    assert client.responses.retrieve(*ids).output_text == events[-1].response.output_text


def test_what_goes_wrong_on_the_way_is_an_event(
    client: openai.OpenAI, web: httpx.Client, shared_bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        yield "Well"
        raise ReplyError("no numbers")

    monkeypatch.setattr(shared_bot, "stream", broken)
    lines = web.post("/v1/responses", json={"input": "Hello", "stream": True}).text.splitlines()
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    last = json.loads([line for line in lines if line.startswith("data: ")][-1].removeprefix("data: "))
    assert kinds[-2:] == ["response.output_text.delta", "error"]
    assert last["sequence_number"] == len(kinds) - 1
    assert (last["type"], last["message"], last["code"]) == ("error", "no numbers", "cannot_answer")
    with pytest.raises(openai.APIError, match="no numbers"):
        list(client.responses.create(input="Hello", stream=True))


def test_responses_are_kept_within_a_limit() -> None:
    kept = Kept(most=10_000)
    for number in range(20):
        kept.keep("anna", {"id": f"r{number}", "instructions": "x" * 900}, History().add_user("y" * 900))
    with pytest.raises(ApiError, match="no response 'r14'"):
        kept.find("anna", "r14", "id")
    for number in range(15, 20):
        assert kept.find("anna", f"r{number}", "id")[1].last_user
        kept.forget("anna", f"r{number}")
    kept.keep("anna", {"id": "large", "instructions": "x" * 9000}, History())
    assert kept.find("anna", "large", "id"), "what was forgotten takes no room"
