"""What is answered is what /openapi.json describes, to the last member: every route, its streams and its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import make_bot
from fastapi.testclient import TestClient

from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.serving import http
from adapterbot.storage.keys import KeyStore

jsonschema = pytest.importorskip("jsonschema_rs")
SHORT: dict[str, Any] = {"drafts": 1, "max_tokens": 3, "seed": 1}
CHAT = SHORT | {"messages": [{"role": "user", "content": "Hello there"}]}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
RESPONSE = {"input": "Hello there", "drafts": 1, "max_output_tokens": 3}
MESSAGE = SHORT | {"message": "Hello there"}
PAST = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
ASKED: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/{model}", None),
    ("POST", "/v1/chat/completions", CHAT | {"model": "adapterbot/wiki"}),
    ("POST", "/v1/chat/completions", CHAT | {"n": 2}),
    ("POST", "/v1/chat/completions", CHAT | USAGE),
    ("POST", "/v1/completions", {"prompt": ["One", "Two"], "max_tokens": 2, "logprobs": 2, "echo": True}),
    ("POST", "/v1/completions", {"prompt": "One", "max_tokens": 2} | USAGE),
    ("POST", "/v1/responses", RESPONSE),
    ("POST", "/v1/responses", RESPONSE | {"stream": True}),
    ("GET", "/v1/responses/{response_id}", None),
    ("DELETE", "/v1/responses/{response_id}", None),
    ("POST", "/v1/embeddings", {"input": ["a dog", "a cat"]}),
    ("POST", "/v1/embeddings", {"input": "a dog", "encoding_format": "base64"}),
    ("POST", "/v1/respond", MESSAGE | {"history": PAST}),
    ("POST", "/v1/respond", MESSAGE | {"stream": True, "skill": "weather"}),
    ("GET", "/v1/skills", None),
    ("POST", "/v1/skills/{skill}/load", None),
    ("POST", "/v1/skills/{skill}/unload", None),
    ("POST", "/v1/sessions/{session}/turns", MESSAGE),
    ("GET", "/v1/sessions", None),
    ("GET", "/v1/sessions/{session}/turns", None),
    ("GET", "/v1/sessions/{session}/export", None),
    ("POST", "/v1/sessions", None),
    ("DELETE", "/v1/sessions/{session}", None),
]  # fmt: skip
WRONG: list[tuple[str, str, int, dict[str, Any]]] = [
    ("POST", "/v1/chat/completions", 400, {"json": {"messages": []}}),
    ("POST", "/v1/chat/completions", 400, {"json": CHAT | {"temperature": 9}}),
    ("POST", "/v1/chat/completions", 413, {"content": b"x" * 2**21}),
    ("POST", "/v1/completions", 404, {"json": {"prompt": "Hi", "model": "gpt-4o"}}),
    ("GET", "/v1/models", 401, {"headers": {"authorization": "Bearer wrong"}}),
    ("GET", "/v1/models", 403, {"headers": {"host": "evil.example"}}),
    ("DELETE", "/v1/models", 405, {}),
    ("GET", "/v1/models/{model}", 404, {"fields": {"model": "wikki"}}),
    ("GET", "/v1/sessions/{session}/turns", 404, {"fields": {"session": "none"}}),
    ("POST", "/v1/skills/{skill}/load", 404, {"fields": {"skill": "wikki"}}),
]


@pytest.fixture(scope="module")
def client(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client with an admin key, of a server whose bot stores what is said."""
    folder: Path = tmp_path_factory.mktemp("answers")
    keys = KeyStore(folder / "keys.sqlite3")
    admin = {"authorization": f"Bearer {keys.new('test', admin=True)}"}
    bot = make_bot(tiny, Home(folder))
    with TestClient(http.api(bot, keys), base_url="http://127.0.0.1", headers=admin) as made:
        yield made


@pytest.fixture(scope="module")
def page(client: TestClient) -> dict[str, Any]:
    """The description; whatever it does not name is forbidden."""
    found: dict[str, Any] = client.get("/openapi.json").json()
    for schema in found["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return found


def check(page: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raises where `value` is not what the schema says."""
    jsonschema.Draft202012Validator({"components": page["components"], **schema}).validate(value)


def described(page: dict[str, Any], method: str, path: str, status: int) -> dict[str, Any]:
    """What the page says of the content of an answer."""
    content: dict[str, Any] = page["paths"][path][method.lower()]["responses"][str(status)]["content"]
    return content


def events(text: str) -> list[Any]:
    """The data of an answer's events."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


def test_every_route_answers_as_it_is_described(client: TestClient, page: dict[str, Any]) -> None:
    ids = {"model": "adapterbot/wiki", "skill": "wiki"}
    ids["session"] = client.post("/v1/sessions").json()["id"]
    ids["response_id"] = client.post("/v1/responses", json=RESPONSE).json()["id"]
    for method, path, body in ASKED:
        answer = client.request(method, path.format(**ids), json=body)
        assert answer.is_success, f"{path}: {answer.text}"
        content = described(page, method, path, answer.status_code)
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in content, path
        if kind == "application/json":
            assert content[kind]["schema"].get("$ref"), f"{path} has no type"
            check(page, content[kind]["schema"], answer.json())
        elif kind == "text/event-stream":
            told = events(answer.text)
            assert len(told) > 1
            for event in told:
                check(page, content[kind]["itemSchema"]["properties"]["data"]["contentSchema"], event)
    known = {(method.upper(), path) for path, of in page["paths"].items() for method in of}
    assert known == {(method, path) for method, path, _ in ASKED}, "every route was asked"


@pytest.mark.parametrize(("method", "path", "status", "how"), WRONG)
def test_every_refusal_has_the_form_of_errors(
    client: TestClient, page: dict[str, Any], method: str, path: str, status: int, how: dict[str, Any]
) -> None:
    fields = how.get("fields", {})
    answer = client.request(method, path.format(**fields), **{name: how[name] for name in how if name != "fields"})
    assert answer.status_code == status, answer.text
    of = page["paths"][path]
    responses = of.get(method.lower(), next(iter(of.values())))["responses"]
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
    check(page, schema, answer.json())


def test_a_member_that_is_not_described_is_noticed(page: dict[str, Any]) -> None:
    """The test above can fail."""
    schema = {"$ref": "#/components/schemas/ErrorAnswer"}
    right: dict[str, Any] = {"error": {"message": "m", "type": "t", "param": None, "code": None}}
    check(page, schema, right)
    for wrong in (
        right | {"more": 1},
        {"error": right["error"] | {"hint": "x"}},
        {"error": {"message": 1, "type": "t"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            check(page, schema, wrong)
