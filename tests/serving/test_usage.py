"""How many tokens of a prompt were read before: none of a first message, what was said of a second."""

from __future__ import annotations

from typing import Any

import httpx

SHORT: dict[str, Any] = {"model": "adapterbot/chitchat", "drafts": 1, "seed": 1}
FIRST = "Tonight {} and I cook a soup of lentils, carrots and a little cumin for all of the neighbours."


def asked(web: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = web.post(f"/v1/{path}", json=SHORT | body)
    assert answer.status_code == 200, answer.text
    whole: dict[str, Any] = answer.json()
    return whole


def cached(answer: dict[str, Any]) -> int:
    usage = answer["usage"]
    name = "prompt" if "prompt_tokens" in usage else "input"
    read: int = usage[f"{name}_tokens_details"]["cached_tokens"]
    assert 0 <= read < usage[f"{name}_tokens"]
    return read


def test_the_second_request_of_a_chat_reads_only_what_is_new(web: httpx.Client) -> None:
    talk = [{"role": "user", "content": FIRST.format("Zoltan")}]
    first = asked(web, "chat/completions", messages=talk, max_tokens=4)
    assert cached(first) == 0
    talk += [first["choices"][0]["message"], {"role": "user", "content": "Do you like soup?"}]
    second = asked(web, "chat/completions", messages=talk, max_tokens=4, stop=["never said"])
    assert cached(second) > 15
    assert cached(second) < second["usage"]["prompt_tokens"] - 4, "the new message was read"
    several = asked(web, "chat/completions", messages=[{"role": "user", "content": FIRST.format("Odile")}], n=2)
    assert cached(several) == 0, "it was read, for the first of the two"


def test_a_stream_tells_it_as_well(web: httpx.Client) -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": FIRST.format("Ximena")}], "max_tokens": 4}
    whole = asked(web, "chat/completions", **body)
    told = web.post(
        "/v1/chat/completions", json=SHORT | body | {"stream": True, "stream_options": {"include_usage": True}}
    )
    assert cached(whole) == 0
    assert '"prompt_tokens_details":{"cached_tokens":0}' not in told.text
    assert f'"prompt_tokens_details":{{"cached_tokens":{whole["usage"]["prompt_tokens"] - 1}}}' in told.text


def test_a_text_is_not_read_twice(web: httpx.Client) -> None:
    prompts = [FIRST.format("Quentin"), FIRST.format("Yasmin")]
    first, again = (asked(web, "completions", prompt=prompts, max_tokens=2, n=2) for _ in range(2))
    assert cached(first) < 8, "both begin alike, with less than is worth it"
    assert cached(again) == again["usage"]["prompt_tokens"] - 2, "all but the last token of each"


def test_a_response_goes_on_where_the_last_one_ended(web: httpx.Client) -> None:
    first = asked(web, "responses", input=FIRST.format("Bogdan"), max_output_tokens=4)
    assert cached(first) == 0
    second = asked(web, "responses", input="And you?", previous_response_id=first["id"], max_output_tokens=4)
    assert cached(second) > 15


def test_the_figures_count_both(web: httpx.Client) -> None:
    def figure(name: str) -> float:
        lines = web.get("/metrics").text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"adapterbot_{name}_total ")))

    body: dict[str, Any] = {"messages": [{"role": "user", "content": FIRST.format("Ulrike")}], "max_tokens": 2}
    asked(web, "chat/completions", **body)
    before = figure("prompt_tokens"), figure("cached_tokens")
    answer = asked(web, "chat/completions", **body)
    assert figure("prompt_tokens") - before[0] == answer["usage"]["prompt_tokens"]
    assert figure("cached_tokens") - before[1] == cached(answer) > 0
