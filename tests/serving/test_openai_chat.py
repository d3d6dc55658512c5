"""Chat completions and models, asked by OpenAI's own client over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from conftest import TRAINED

from adapterbot.bot import Bot

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]
TALK: list[Any] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi!"},
    {"role": "assistant", "content": "Hello, how are you?"},
    {"role": "user", "content": [{"type": "text", "text": "Do you have"}, {"type": "text", "text": "a dog?"}]},
]
SHORT: dict[str, Any] = {"max_tokens": 6, "seed": 1, "extra_body": {"drafts": 1}}


def test_every_skill_is_a_model(client: openai.OpenAI, shared_bot: Bot) -> None:
    models = client.models.list().data
    assert [model.id for model in models] == ["adapterbot", *(f"adapterbot/{name}" for name in shared_bot.skills)]
    assert {model.object for model in models} == {"model"}
    assert all(isinstance(model.created, int) and model.owned_by for model in models)
    assert client.models.retrieve("adapterbot/wiki").id == "adapterbot/wiki"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("adapterbot/wikki")


def test_a_reply_is_the_bots_own(client: openai.OpenAI, shared_bot: Bot) -> None:
    done = client.chat.completions.create(model="adapterbot/persona", messages=TALK, **SHORT)
    past = [["Hi!", "Hello, how are you?"]]
    same = shared_bot.respond("Do you have\na dog?", past, skill="persona", seed=1, max_tokens=6, drafts=1)
    (choice,) = done.choices
    assert choice.message.content == same.text
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    assert (done.object, done.model) == ("chat.completion", "adapterbot/persona")
    assert done.usage is not None
    assert done.usage.prompt_tokens == same.prompt_tokens > 0
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    inside: Any = done.model_extra
    assert inside["adapterbot"]["skill"] == "persona"
    assert inside["adapterbot"]["routed_by"] == "forced"


def test_the_manager_chooses_where_no_skill_is_named(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(model="adapterbot", messages=HELLO, **SHORT)
    extra: Any = done.model_extra
    assert extra["adapterbot"]["routed_by"] != "forced"


def test_a_stream_has_the_same_text_role_first_reason_and_usage_last(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="adapterbot/persona", messages=TALK, **SHORT)
    chunks = list(
        client.chat.completions.create(
            model="adapterbot/persona", messages=TALK, stream=True, stream_options={"include_usage": True}, **SHORT
        )
    )
    *said, last = chunks
    assert said[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in said) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in said[:-1]] == [None] * (len(said) - 1)
    assert said[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert all(chunk.usage is None for chunk in said)
    assert last.choices == []
    assert last.usage == whole.usage
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    extra: Any = said[-1].model_extra
    assert extra["adapterbot"]["skill"] == "persona"


def test_without_the_option_no_chunk_tells_usage(web: httpx.Client) -> None:
    body = {"model": "adapterbot/chitchat", "messages": HELLO, "stream": True, "max_tokens": 3, "drafts": 1}
    answer = web.post("/v1/chat/completions", json=body | {"stream_options": {"continuous_usage_stats": True}})
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    assert not any("usage" in json.loads(line.removeprefix("data: ")) for line in lines[:-1])


def test_the_stream_helper_of_the_client_understands_it(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "adapterbot/chitchat", "messages": HELLO, **SHORT}
    text = client.chat.completions.create(**asked).choices[0].message.content or ""
    with client.chat.completions.stream(stop=text[3:5], **asked) as stream:  # it takes a reply that was cut for a fault
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == text[: text.find(text[3:5])]


def test_the_same_seed_gives_the_same_reply_and_n_gives_several(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "adapterbot/empathetic", "messages": HELLO, "n": 3, "temperature": 1.5, **SHORT}
    once, again = (client.chat.completions.create(**asked) for _ in range(2))
    texts = [choice.message.content for choice in once.choices]
    assert texts == [choice.message.content for choice in again.choices]
    assert [choice.index for choice in once.choices] == [0, 1, 2]
    assert len(set(texts)) > 1
    streamed = ["", "", ""]
    for chunk in client.chat.completions.create(stream=True, **asked):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts


def test_a_limit_cuts_and_says_so_by_either_name(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "adapterbot/chitchat", "messages": HELLO, "seed": 1}
    more: dict[str, Any] = {"extra_body": {"drafts": 1, "min_tokens": 3}}
    limits: list[dict[str, Any]] = [
        {"max_tokens": 3},
        {"max_completion_tokens": 3},
        {"max_tokens": 400, "max_completion_tokens": 3},
    ]
    for limit in limits:
        done = client.chat.completions.create(**asked, **limit, **more)
        assert done.choices[0].finish_reason == "length"
        assert done.usage
        assert done.usage.completion_tokens <= 4


def test_a_limit_beyond_what_a_reply_may_have_is_no_error(web: httpx.Client) -> None:
    body = {"messages": HELLO, "max_tokens": 128_000, "stop": " ", "drafts": 1, "seed": 1}
    assert web.post("/v1/chat/completions", json=body).status_code == 200


def test_a_reply_ends_before_a_stop(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "adapterbot/persona", "messages": TALK, **SHORT}
    whole = client.chat.completions.create(**asked).choices[0].message.content or ""
    assert len(whole) > 4
    stop = whole[2:4]
    done = client.chat.completions.create(stop=[stop, "never said"], **asked)
    assert done.choices[0].message.content == whole[: whole.find(stop)]
    assert done.choices[0].finish_reason == "stop"
    chunks = client.chat.completions.create(stop=stop, stream=True, **asked)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole[: whole.find(stop)]


def test_null_is_absent_and_unknown_fields_are_passed_over(web: httpx.Client) -> None:
    body = {
        "model": None,
        "messages": [*HELLO[:0], {"role": "user", "content": "Hello", "name": None, "tool_calls": None}],
        "temperature": None,
        "tools": None,
        "tool_choice": None,
        "response_format": None,
        "stop": None,
        "stream": None,
        "stream_options": None,
        "n": None,
        "user": "u1",
        "nobody_knows": {"deep": [1, 2]},
        "frequency_penalty": 0.5,
        "logit_bias": {},
        "top_k": -1,
        "top_p": 0,
        "seed": -3,
        "max_tokens": 3,
        "drafts": 1,
    }
    answer = web.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "adapterbot"
    assert answer.json()["adapterbot"]["warnings"] == ["frequency_penalty is not supported and changed nothing"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"response_format": "json"}, "response_format"),
        ({"stream_options": []}, "stream_options"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"stop": 5}, "stop"),
        ({"stop": ["x", None]}, "stop.1"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            "messages",
        ),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"n": 9}, "n"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 1e9}, None),
        ({"temperature": -1}, None),
        ({"top_p": 1.1}, None),
        ({"min_tokens": 10**9}, None),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "Hello"}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hello"}]}, "messages"),
        ({"messages": [{"role": "system", "content": "Hello"}]}, "messages"),
        ({"messages": [{"role": "user", "content": " \u200b "}]}, None),
        ({"messages": [{"role": "user", "content": "Hi"}] * 4097}, "messages"),
        ({"adapterbot": {"region": "Atlantis"}}, None),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_one_line(
    web: httpx.Client, change: dict[str, Any], param: str | None
) -> None:
    answer = web.post("/v1/chat/completions", json={"model": "adapterbot/chitchat", "messages": HELLO} | change)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert error["message"]
    assert "\n" not in error["message"]


def test_tools_that_may_not_be_called_need_no_refusal(web: httpx.Client) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"messages": HELLO, "tools": tools, "tool_choice": "none", "max_tokens": 2, "drafts": 1}
    assert web.post("/v1/chat/completions", json=body).status_code == 200
    body |= {"tool_choice": {"type": "none"}, "functions": [{"name": "f"}], "function_call": "none"}
    assert web.post("/v1/chat/completions", json=body).status_code == 200
    body |= {"tools": [], "tool_choice": "auto", "functions": None, "function_call": None}
    for form in ({"type": "text"}, {"type": None}, {}):
        assert web.post("/v1/chat/completions", json=body | {"response_format": form}).status_code == 200


def test_errors_become_the_clients_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean 'adapterbot/wiki'") as unknown:
        client.chat.completions.create(model="adapterbot/wikki", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    assert unknown.value.param == "model"
    with pytest.raises(openai.BadRequestError, match="outside 0 to 5"):
        client.chat.completions.create(model="adapterbot", messages=HELLO, temperature=7)
    with pytest.raises(openai.BadRequestError, match="outside 0 to 5"):
        client.chat.completions.create(model="adapterbot", messages=HELLO, temperature=7, stream=True)


@pytest.mark.parametrize(
    "model", ["gpt-4o", "adapterbot/", "adapterbot/../../etc/passwd", "wiki", "x" * 5000, "\0", "a/b"]
)
def test_a_model_that_is_not_there(web: httpx.Client, model: str) -> None:
    answer = web.post("/v1/chat/completions", json={"model": model, "messages": HELLO})
    assert answer.status_code == 404
    assert len(answer.json()["error"]["message"]) < 1000


def test_a_skill_that_cannot_answer_says_why(client: openai.OpenAI, shared_bot: Bot) -> None:
    without = next(name for name in shared_bot.specs if name not in shared_bot.skills and name not in TRAINED)
    with pytest.raises(openai.InternalServerError, match="adapter") as raised:
        client.chat.completions.create(model=f"adapterbot/{without}", messages=HELLO)
    assert raised.value.status_code == 503
