"""What LangChain 1.7, LiteLLM 1.108 and lm-eval 0.4 were seen to send, and what they read of the answers."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest

from adapterbot.bot import Bot

MODEL = "adapterbot/persona"
SYSTEM = {"content": "Be kind.", "role": "system"}
MOVED = {"content": "My best friend moved away.", "role": "user"}
MOOD = {
    "type": "object",
    "properties": {"mood": {"title": "Mood", "type": "string"}},
    "required": ["mood"],
    "additionalProperties": False,
}
FORECAST = {
    "type": "function",
    "function": {
        "name": "forecast",
        "description": "The forecast.",
        "parameters": {"type": "object", "properties": {}},
    },
}


def post(web: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """The answer to a body, its events as a list."""
    answer = web.post(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    if not body.get("stream"):
        return answer.json()
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


def test_langchain_chats(web: httpx.Client) -> None:
    body: dict[str, Any] = {"model": MODEL, "messages": [SYSTEM, MOVED], "max_completion_tokens": 6}
    whole = post(web, "chat/completions", body | {"stream": False})
    assert whole["choices"][0]["message"]["content"]
    assert set(whole["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}
    chunks = post(web, "chat/completions", body | {"stream": True, "stream_options": {"include_usage": True}})
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0
    called = {"type": "function", "id": "c1", "function": {"name": "forecast", "arguments": "{}"}}
    past = [
        {"content": "Weather?", "role": "user"},
        {"content": None, "role": "assistant", "tool_calls": [called]},
        {"content": "sunny", "role": "tool", "tool_call_id": "c1"},
    ]
    assert post(web, "chat/completions", body | {"messages": [*past, MOVED], "stop": ["."]})["choices"]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"content": [{"type": "text", "text": "Look at this:"}, picture], "role": "user"}]
    assert "image_url" in post(web, "chat/completions", body | {"messages": parts})["adapterbot"]["warnings"][0]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "Mood", "schema": MOOD}}},
            "response_format",
        ),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        (
            {
                "tools": [FORECAST],
                "tool_choice": {"type": "function", "function": {"name": "forecast"}},
                "parallel_tool_calls": False,
            },
            "tools",
        ),
        ({"tools": [FORECAST], "stream": True}, "tools"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_langchains_structured_output_and_tools_are_refused(
    web: httpx.Client, change: dict[str, Any], param: str
) -> None:
    body = {"model": MODEL, "stream": False, "messages": [MOVED], "max_completion_tokens": 6}
    answer = web.post("/v1/chat/completions", json=body | change)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    allowed = body | {"tools": [FORECAST], "tool_choice": "none"}
    assert post(web, "chat/completions", allowed)["choices"]


def test_langchains_responses_embeddings_and_completions(web: httpx.Client) -> None:
    said = [SYSTEM | {"type": "message"}, MOVED | {"type": "message"}]
    events = post(web, "responses", {"model": MODEL, "stream": True, "input": said, "max_output_tokens": 6})
    assert events[-1]["response"]["output"][0]["content"][0]["type"] == "output_text"
    texts = {"model": "adapterbot", "input": ["I have a dog."], "encoding_format": "base64"}
    assert isinstance(post(web, "embeddings", texts)["data"][0]["embedding"], str)
    ids = web.post("/v1/embeddings", json=texts | {"input": [[40, 617, 264, 5679, 13]]})  # unless it is told not to
    assert ids.status_code == 400
    assert "check_embedding_ctx_length=False" in ids.json()["error"]["message"]
    plain = {
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "logprobs": None,
        "seed": None,
        "temperature": 0.7,
        "top_p": 1,
    }
    body = plain | {"model": MODEL, "prompt": ["Once upon a time", "The sea is"], "n": 1, "max_tokens": 4}
    assert [choice["index"] for choice in post(web, "completions", body)["choices"]] == [0, 1]


def test_litellm_asks_for_usage_in_every_stream(web: httpx.Client) -> None:
    assert web.get("/v1/models", headers={"user-agent": "litellm/1.108.7"}).json()["data"]
    body = {"model": MODEL, "messages": [SYSTEM, MOVED], "max_tokens": 6, "stream": True}
    chunks = post(web, "chat/completions", body | {"stream_options": {"include_usage": True}})
    assert [chunk.get("usage") is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    two = post(web, "chat/completions", {"model": MODEL, "messages": [MOVED], "n": 2, "max_tokens": 4})
    assert len(two["choices"]) == 2
    response = post(web, "responses", {"model": MODEL, "input": "I got the job!", "max_output_tokens": 16})
    assert response["output"][0]["role"] == "assistant"


def test_lm_eval_adds_up_the_likelihood_of_an_ending(web: httpx.Client, shared_bot: Bot) -> None:
    """As its `local-completions` does: the text is echoed with one token more, which it cuts off, as the context."""
    encode = shared_bot.backbone.tokenizer.encode
    context, whole = encode("The sky on a clear day is"), encode("The sky on a clear day is blue")
    body = {"model": "adapterbot", "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    totals = []
    for prompt in ("The sky on a clear day is blue", [whole]):
        (choice,) = post(web, "completions", body | {"prompt": prompt})["choices"]
        found = choice["logprobs"]
        ending = found["token_logprobs"][len(context) : -1]
        assert len(ending) == len(whole) - len(context)
        likeliest = [max(there.values()) for there in found["top_logprobs"][len(context) : -1]]
        assert all(best >= one for best, one in zip(likeliest, ending, strict=True))
        totals.append(sum(ending))
    assert math.isclose(*totals, abs_tol=1e-4)


def test_lm_eval_writes_until_a_text(web: httpx.Client) -> None:
    body = {"temperature": 0, "max_tokens": 12, "stop": ["\n", ".", "<|im_end|>"], "seed": 1234}
    text = post(web, "completions", body | {"model": "adapterbot", "prompt": "The sky is"})["choices"][0]["text"]
    assert not {"\n", "."} & set(text)
    chat = post(web, "chat/completions", body | {"model": MODEL, "messages": [MOVED]})
    assert not {"\n", "."} & set(chat["choices"][0]["message"]["content"])
