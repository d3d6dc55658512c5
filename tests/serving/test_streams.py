"""Streams whose characters are several tokens: no chunk has a part of one, stops are found across chunks, and the text,
the reason to finish and the usage are those of the whole answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import torch
from conftest import TRAINED, babbling, make_tiny, random_adapter
from servers import serving
from torch.nn.functional import cross_entropy

from adapterbot.bot import Bot
from adapterbot.home import Home
from adapterbot.network.backbone import Backbone, freeze
from adapterbot.storage.keys import KeyStore

TEXT = "Hi! \U0001f469\u200d\U0001f469\u200d\U0001f467 cafe\u0301, \u6771\u4eac \U0001f642\U0001f3fd and so on."
OPENING = "Then they said:"
LIMIT = 80  # tokens; the text has fewer
PLAIN: dict[str, Any] = {
    "model": "adapterbot/chitchat",
    "temperature": 0,
    "repetition_penalty": 1,
    "no_repeat_ngram": 0,
    "max_tokens": LIMIT,
    "drafts": 1,
}
ASKED: dict[str, dict[str, Any]] = {
    "chat/completions": PLAIN | {"messages": [{"role": "user", "content": "Hello"}]},
    "completions": PLAIN | {"prompt": OPENING},
    "responses": PLAIN | {"input": "Hello", "max_output_tokens": LIMIT},
}
STOPS = {
    "of a character": ("\U0001f642", TEXT.partition("\U0001f642")[0]),
    "of several tokens": ("\u6771\u4eac \U0001f642", TEXT.partition("\u6771")[0]),
    "within a family": ("\u200d\U0001f467", TEXT.partition("\u200d\U0001f467")[0]),
    "that only begins": ("so on?", TEXT),
    "of all": ("H", ""),
}


def taught(prompts: list[list[int]]) -> Backbone:
    """A tiny model that has learnt to say the text, whichever of these it reads."""
    backbone = make_tiny(seed=5)
    decoder, tokenizer = backbone.decoder, backbone.tokenizer
    said = [*tokenizer.encode(TEXT), tokenizer.separator]
    batch = [torch.tensor([[*prompt, *said]]) for prompt in prompts]
    for parameter in decoder.parameters():
        parameter.requires_grad_(True)
    learning = torch.optim.Adam(decoder.parameters(), lr=0.01)
    for _ in range(1000):
        losses = [
            cross_entropy(decoder.logits(decoder(ids[:, :-1])[0, -len(said) :]), ids[0, -len(said) :], reduction="none")
            for ids in batch
        ]
        learning.zero_grad()
        torch.stack(losses).sum().backward()
        learning.step()
        if torch.stack(losses).max() < 0.1:  # each token is by far the likeliest
            break
    freeze(decoder)
    return backbone


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server whose bot says the text, greedily asked; its adapters change nothing."""
    home = Home(tmp_path_factory.mktemp("taught"))
    plain = make_tiny(seed=5)
    for seed, name in enumerate(TRAINED):
        random_adapter(plain, home.skills / name / "adapter.safetensors", seed, scale=0.0)
    first = Bot(plain, home, log=False)
    prompt = first.respond("Hello", skill="chitchat", max_tokens=1, drafts=1)
    ids = first._prepare("Hello", None, "chitchat", 1, None, None, {"max_tokens": LIMIT}).prepared
    assert len(ids.request.ids) == prompt.prompt_tokens  # type: ignore[union-attr]
    model = taught([list(ids.request.ids), plain.tokenizer.encode(OPENING)])  # type: ignore[union-attr]
    for seed, name in enumerate(TRAINED):
        random_adapter(model, home.skills / name / "adapter.safetensors", seed, scale=0.0)
    bot = Bot(model, home, log=False, guard=babbling())
    with serving(bot, KeyStore(home.database)) as address, httpx.Client(base_url=address, timeout=600) as made:
        yield made


def whole(web: httpx.Client, path: str, **more: Any) -> dict[int, tuple[str, str, Any]]:
    """Text, reason and usage of each choice of an answer at once."""
    answer = web.post(f"/v1/{path}", json=ASKED[path] | more).json()
    if path == "responses":
        return {0: (answer["output"][0]["content"][0]["text"], answer["status"], counted(answer["usage"]))}
    usage = counted(answer["usage"])
    return {each["index"]: (text_of(each), each["finish_reason"], usage) for each in answer["choices"]}


def streamed(web: httpx.Client, path: str, **more: Any) -> tuple[list[str], dict[int, tuple[str, str, Any]]]:
    """The chunks of a stream, and what they come to."""
    asked = ASKED[path] | more | {"stream": True, "stream_options": {"include_usage": True}}
    lines = web.post(f"/v1/{path}", json=asked).text.splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    events = [json.loads(line) for line in data if line != "[DONE]"]
    if path == "responses":
        chunks = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        last = events[-1]["response"]
        return chunks, {0: ("".join(chunks), last["status"], counted(last["usage"]))}
    usage = counted(events[-1]["usage"])
    found: dict[int, tuple[str, str, Any]] = {}
    chunks = []
    for choice in (choice for event in events for choice in event["choices"]):
        chunks.append(text_of(choice))
        before = found.get(choice["index"], ("", "", usage))[0]
        found[choice["index"]] = (before + chunks[-1], choice["finish_reason"], usage)
    return chunks, found


def text_of(choice: dict[str, Any]) -> str:
    """Of any form of choice."""
    said = choice.get("message") or choice.get("delta") or choice
    return str(said.get("content") or said.get("text") or "")


def counted(usage: dict[str, Any]) -> dict[str, int]:
    """The numbers that do not depend on what was read before."""
    return {name: number for name, number in usage.items() if isinstance(number, int)}


@pytest.mark.parametrize("path", ASKED)
def test_no_chunk_has_a_part_of_a_character(web: httpx.Client, path: str) -> None:
    chunks, found = streamed(web, path)
    assert found[0][0].strip() == TEXT
    assert not any("\ufffd" in chunk for chunk in chunks)
    assert len([chunk for chunk in chunks if chunk]) > 8, "it came in pieces"
    assert found == whole(web, path)
    assert found[0][1] in ("stop", "completed")


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("tokens", [6, 7, 8, 9])
def test_a_limit_within_a_character(web: httpx.Client, path: str, tokens: int) -> None:
    """What is cut is cut alike."""
    limit = {"max_output_tokens" if path == "responses" else "max_tokens": tokens}
    assert streamed(web, path, **limit)[1] == whole(web, path, **limit)


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("kind", STOPS)
def test_a_stop_is_found_wherever_chunks_end(web: httpx.Client, path: str, kind: str) -> None:
    stop, before = STOPS[kind]
    for stops in (stop, ["never said", stop]):
        chunks, found = streamed(web, path, stop=stops)
        assert found == whole(web, path, stop=stops)
        assert found[0][0].strip() == before.strip()
        assert found[0][1] in ("stop", "completed")
        assert not any("\ufffd" in chunk for chunk in chunks)


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_several_choices_are_each_whole(web: httpx.Client, path: str) -> None:
    chunks, found = streamed(web, path, n=3, stop="\u6771")
    assert sorted(found) == [0, 1, 2]
    assert found == whole(web, path, n=3, stop="\u6771")
    assert {text.strip() for text, _, _ in found.values()} == {TEXT.partition("\u6771")[0].strip()}
    assert not any("\ufffd" in chunk for chunk in chunks)
