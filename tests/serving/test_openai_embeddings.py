"""Embeddings, as OpenAI's client asks for them, and the background tasks of Open WebUI."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from adapterbot.bot import Bot
from adapterbot.manager.encoder import minilm

TEXTS = ["I have a dog.", "My puppy is asleep.", "Trains leave at nine."]


def test_vectors_are_the_encoders_whatever_the_form(client: openai.OpenAI, web: httpx.Client) -> None:
    expected = minilm().encode(TEXTS).numpy()
    by_client = client.embeddings.create(model="adapterbot", input=TEXTS)  # it asks for base64 by itself
    assert [entry.index for entry in by_client.data] == [0, 1, 2]
    np.testing.assert_allclose([entry.embedding for entry in by_client.data], expected, atol=1e-6)
    plain = web.post("/v1/embeddings", json={"input": TEXTS, "model": "all-minilm-l6-v2", "dimensions": 384}).json()
    np.testing.assert_allclose([entry["embedding"] for entry in plain["data"]], expected, atol=1e-6)
    assert plain["usage"]["total_tokens"] == plain["usage"]["prompt_tokens"] > 10
    near, far = expected[0] @ expected[1], expected[0] @ expected[2]
    assert near > far


def test_null_is_absent_and_unknown_fields_are_passed_over(web: httpx.Client) -> None:
    nulls = dict.fromkeys(("model", "encoding_format", "dimensions", "user", "input_type"))
    plain = web.post("/v1/embeddings", json={"input": TEXTS[0]}).json()
    for more in (nulls, {"user": "u1", "nobody_knows": {"deep": [1]}, "dimensions": 384}):
        assert web.post("/v1/embeddings", json={"input": [TEXTS[0]]} | more).json() == plain
    coded = web.post("/v1/embeddings", json={"input": TEXTS[0], "encoding_format": "base64"}).json()["data"][0]
    numbers = np.frombuffer(base64.b64decode(coded["embedding"]), dtype="<f4")
    np.testing.assert_allclose(numbers, plain["data"][0]["embedding"], atol=1e-7)
    assert plain["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_more_texts_than_are_read_at_a_time_keep_their_order(web: httpx.Client) -> None:
    texts = [f"number {i}" if i % 2 else f"the {i} of all numbers" for i in range(70)]
    found = web.post("/v1/embeddings", json={"input": texts}).json()["data"]
    assert [entry["index"] for entry in found] == list(range(70))
    expected = minilm().encode(texts).numpy()
    np.testing.assert_allclose([entry["embedding"] for entry in found], expected, atol=1e-5)


def test_a_text_that_is_cut_is_told(web: httpx.Client) -> None:
    answer = web.post("/v1/embeddings", json={"input": ["short", "word " * 700]}).json()
    assert answer["adapterbot"]["warnings"] == ["of input[1] the first 256 tokens were read"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"input": ""}, 400),
        ({"input": []}, 400),
        ({"input": ["a", ""]}, 400),
        ({"input": [1, 2]}, 400),
        ({"input": [[1, 2]]}, 400),
        ({"input": None}, 400),
        ({"input": ["a", None]}, 400),
        ({"input": ["a", 5]}, 400),
        ({"input": {"text": "a"}}, 400),
        ({"input": True}, 400),
        ({"input": [1.5]}, 400),
        ({"input": [[]]}, 400),
        ({"dimensions": 0}, 400),
        ({"dimensions": "many"}, 400),
        ({"model": 5}, 400),
        ({"input": ["a"] * 513}, 400),
        ({"dimensions": 256}, 400),
        ({"encoding_format": "binary"}, 400),
        ({"model": "text-embedding-3-small"}, 404),
    ],
)
def test_what_cannot_be_encoded(web: httpx.Client, change: dict[str, Any], status: int) -> None:
    answer = web.post("/v1/embeddings", json={"input": "Hello"} | change)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


def task(form: str, *said: str) -> list[Any]:
    """A message of the shape that Open WebUI sends."""
    talk = "\n".join(line for text in said for line in (f"USER: {text}", "ASSISTANT: I see."))
    rules = "### Task:\nName what this is about.\n### Guidelines:\n- Be short.\n"
    text = f"{rules}### Output:\nJSON format: {form}\n### Chat History:\n<chat_history>\n{talk}\n</chat_history>"
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ('{ "title": "your concise title here" }', {"title": "Will it rain in Boston…"}),
        ('{ "follow_ups": ["Question 1?", "Question 2?"] }', {"follow_ups": []}),
        ('{ "queries": ["query1", "query2"] }', {"queries": []}),
        ('{ "text": "<completion>" }', {"text": ""}),
    ],
)
def test_tasks_about_a_conversation_cost_no_model(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, shared_bot: Bot, form: str, expected: dict[str, Any]
) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was asked")

    monkeypatch.setattr(shared_bot, "respond", asked)
    monkeypatch.setattr(shared_bot, "stream", asked)
    messages = task(form, "Will it rain in Boston tomorrow?")
    done = client.chat.completions.create(model="adapterbot", messages=messages)
    assert json.loads(done.choices[0].message.content or "") == expected
    assert done.choices[0].finish_reason == "stop"
    chunks = client.chat.completions.create(model="adapterbot", messages=messages, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == done.choices[0].message.content


def test_tags_are_what_the_manager_picks(client: openai.OpenAI, shared_bot: Bot) -> None:
    messages = task('{ "tags": ["tag1", "tag2"] }', "Will it rain in Boston tomorrow?", "Hello!")
    done = client.chat.completions.create(model="adapterbot", messages=messages)
    tags = json.loads(done.choices[0].message.content or "")["tags"]
    picked = shared_bot.pick("Will it rain in Boston tomorrow?").skill
    assert tags == [picked.replace("_", " ")]


def test_what_only_looks_like_a_task_is_answered_as_a_message(client: openai.OpenAI) -> None:
    for text in ("### Task: say hello", "### Task: <chat_history> hello </chat_history>", "### Output: {} ### Task:"):
        done = client.chat.completions.create(
            model="adapterbot/chitchat",
            messages=[{"role": "user", "content": text}],
            max_tokens=2,
            extra_body={"drafts": 1},
        )
        extra: Any = done.model_extra
        assert extra["adapterbot"]["routed_by"] == "forced"
        assert "no model" not in extra["adapterbot"]["reason"]
