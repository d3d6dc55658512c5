"""Completions, asked by OpenAI's own client and as a harness asks for likelihoods."""

from __future__ import annotations

import math
from typing import Any

import httpx
import openai
import pytest
import torch

from adapterbot.bot import Bot

TEXT = "The weather in the north is cold today."
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 5}


def test_a_text_is_gone_on_with_by_the_bare_model_or_an_adapter(client: openai.OpenAI, shared_bot: Bot) -> None:
    asked = [
        client.completions.create(model=model, prompt=TEXT, **GREEDY) for model in ("adapterbot", "adapterbot/wiki")
    ]
    bare, adapted = asked
    assert bare.object == "text_completion"
    assert bare.choices[0].finish_reason in ("stop", "length")
    assert bare.choices[0].text != adapted.choices[0].text
    assert bare.usage is not None
    assert bare.usage.prompt_tokens == len(shared_bot.backbone.tokenizer.encode(TEXT))
    assert 1 <= bare.usage.completion_tokens <= 6


def test_it_is_greedy_by_the_models_own_logits(client: openai.OpenAI, shared_bot: Bot) -> None:
    backbone = shared_bot.backbone
    ids = backbone.tokenizer.encode(TEXT)
    for _ in range(5):
        ids.append(int(backbone.decoder.logits(backbone.decoder(torch.tensor([ids]))[0, -1]).argmax()))
    done = client.completions.create(model="adapterbot", prompt=TEXT, **GREEDY)
    assert TEXT + done.choices[0].text == backbone.tokenizer.decode(ids)


@pytest.mark.parametrize("tokens", [0, 1])
def test_likelihoods_are_those_of_the_model(client: openai.OpenAI, shared_bot: Bot, tokens: int) -> None:
    backbone = shared_bot.backbone
    ids = backbone.tokenizer.encode(TEXT)
    asked: dict[str, Any] = {"echo": True, "logprobs": 2, "max_tokens": tokens, "temperature": 0, "seed": 1}
    prompts: list[Any] = [TEXT, [ids]]
    for prompt in prompts:
        (choice,) = client.completions.create(model="adapterbot", prompt=prompt, **asked).choices
        found = choice.logprobs
        assert found is not None
        assert found.tokens is not None
        assert found.token_logprobs is not None
        assert found.top_logprobs is not None
        assert len(found.tokens) == len(found.token_logprobs) == len(found.text_offset or []) == len(ids) + tokens
        assert choice.text.startswith(TEXT)
        assert found.token_logprobs[0] is None
        with torch.inference_mode():
            logprobs = backbone.decoder.logits(backbone.decoder(torch.tensor([ids]))[0]).log_softmax(-1)
        for place, id in enumerate(ids[1:], 1):
            assert math.isclose(found.token_logprobs[place], float(logprobs[place - 1, id]), abs_tol=1e-4)
            assert math.isclose(max(found.top_logprobs[place].values()), float(logprobs[place - 1].max()), abs_tol=1e-4)


def test_tokens_make_up_the_text_and_begin_where_it_says(web: httpx.Client) -> None:
    """A tokenizer may leave out the space of a token that stands alone, and a character may be of several tokens."""
    body = {"prompt": "Two caf\u00e9s, \u65e5\u672c and \U0001f600!", "max_tokens": 6, "temperature": 0, "logprobs": 2}
    for echo in (True, False):
        choice = web.post("/v1/completions", json=body | {"echo": echo}).json()["choices"][0]
        found, text = choice["logprobs"], choice["text"]
        pairs = list(zip(found["tokens"], found["text_offset"], strict=True))
        assert pairs[0][1] == 0
        assert sum("\ufffd" in token for token, _ in pairs) >= 9 * echo, "bytes of three characters"
        for token, offset in pairs:
            assert "\ufffd" in token or text[offset:].startswith(token)
        assert any(token.startswith(" ") for token, _ in pairs[1:])
        assert (
            all(token in there for (token, _), there in zip(pairs, found["top_logprobs"], strict=True) if there) or echo
        )


def test_an_end_has_its_place_among_the_tokens(web: httpx.Client, shared_bot: Bot) -> None:
    """Harnesses cut the last token off, whatever it is: one that was made stands there even where it ends the text."""
    for seed in range(400):
        body = {"prompt": TEXT, "max_tokens": 1, "logprobs": 0, "seed": seed, "temperature": 5.0}
        choice = web.post("/v1/completions", json=body).json()["choices"][0]
        assert len(choice["logprobs"]["tokens"]) == 1
        assert choice["logprobs"]["top_logprobs"] is None
        if choice["finish_reason"] == "stop":
            assert choice["text"] == ""
            assert choice["logprobs"]["tokens"] == [shared_bot.backbone.tokenizer.separator_text]
            return
        if seed == 20:
            return  # so rare that it is not waited for


def test_several_prompts_and_choices_in_order(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "adapterbot", "max_tokens": 4, "seed": 1, "n": 2}
    both = client.completions.create(prompt=["One.", "Two."], **asked)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    alone = [client.completions.create(prompt=text, **asked) for text in ("One.", "Two.")]
    assert [c.text for c in both.choices] == [c.text for one in alone for c in one.choices]
    assert both.usage is not None
    assert both.usage.prompt_tokens == sum(one.usage.prompt_tokens for one in alone if one.usage)


def test_a_stream_has_the_same_text(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "adapterbot", "prompt": TEXT, "max_tokens": 8, "seed": 3, "n": 2, "echo": True}
    whole = client.completions.create(**asked)
    texts, reasons = ["", ""], [None, None]
    *chunks, last = client.completions.create(stream=True, stream_options={"include_usage": True}, **asked)
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [choice.text for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert last.choices == []
    assert last.usage == whole.usage


def test_a_stop_ends_it_and_counts_no_token_behind_it(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "adapterbot", "prompt": TEXT, "max_tokens": 30, "temperature": 0}
    text = client.completions.create(**asked).choices[0].text
    stop = text[5:8]
    for stream in (False, True):
        done = client.completions.create(stop=stop, stream=stream, **asked)
        cut = "".join(c.choices[0].text for c in done) if stream else done.choices[0].text  # type: ignore[union-attr]
        assert cut == text[: text.find(stop)]
    measured = client.completions.create(stop=stop, logprobs=0, **asked)
    assert measured.choices[0].finish_reason == "stop"
    assert measured.usage is not None
    assert measured.usage.completion_tokens < 30
    found = measured.choices[0].logprobs
    assert found is not None
    assert len(found.tokens or []) == measured.usage.completion_tokens


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": "word " * 500}, "prompt"),
        ({"prompt": "word " * 120, "max_tokens": 100}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**9]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["x"] * 129}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": ["a", [1, 2]]}, "prompt"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": 1, "stream": True}, "logprobs"),
        ({"temperature": 9}, None),
        ({"max_tokens": -1}, "max_tokens"),
    ],
)
def test_what_cannot_be_done_is_refused(web: httpx.Client, change: dict[str, Any], param: str | None) -> None:
    answer = web.post("/v1/completions", json={"prompt": "Hello", "max_tokens": 2} | change)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["param"] or "").partition(".")[0] == (param or "")
    assert "str" not in (error["param"] or "").split("."), "what a type is called is no place"
    assert (error["code"] == "context_length_exceeded") == ("are read in all" in error["message"])


def test_an_empty_prompt_begins_a_text(web: httpx.Client) -> None:
    answer = web.post("/v1/completions", json={"prompt": "", "max_tokens": 2})
    assert answer.status_code == 200
    assert answer.json()["usage"]["prompt_tokens"] == 1


def test_what_the_guard_refuses_is_not_sent(
    web: httpx.Client, shared_bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"prompt": TEXT, "max_tokens": 12, "temperature": 0}
    text = web.post("/v1/completions", json=body).json()["choices"][0]["text"]
    late = text.split()[-1]
    monkeypatch.setattr(shared_bot.guard, "_check", lambda draft: "rude" if late in draft else None)
    answer = web.post("/v1/completions", json=body | {"logprobs": 0}).json()
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert late not in choice["text"]
    assert choice["text"]
    assert "".join(choice["logprobs"]["tokens"]).startswith(choice["text"])
    assert 0 < answer["usage"]["completion_tokens"] < 12, "what was sent is counted"
