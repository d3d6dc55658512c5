"""Responses, asked by OpenAI's own client: whole, as events, and one after the other."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest
from conftest import make_bot
from servers import serving

from adapterbot.bot import Bot
from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
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
