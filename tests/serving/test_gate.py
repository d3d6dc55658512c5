"""What every request passes: names, pages, sizes, forms; and that nothing that was said is logged."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi.testclient import TestClient
from pydantic import BaseModel

from adapterbot.bot import Bot
from adapterbot.serving import gate, http
from adapterbot.serving.gate import Doors
from adapterbot.serving.native import Question
from adapterbot.serving.openai.chat import ChatRequest
from adapterbot.serving.openai.completions import CompletionRequest
from adapterbot.serving.openai.embeddings import EmbeddingRequest
from adapterbot.serving.openai.responses import ResponseRequest
from adapterbot.storage.keys import KeyStore

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {
    "model": "adapterbot/chitchat",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 2,
    "drafts": 1,
}


def inside(bot: Bot, folder: Path, **settings: Any) -> TestClient:
    """A client of an application in this process, asked as 127.0.0.1."""
    app = http.api(bot, KeyStore(folder / "keys.sqlite3"), http.Settings(**settings))
    return TestClient(app, base_url="http://127.0.0.1")


@pytest.mark.parametrize("path", ["/healthz", "/health", "/readyz"])
def test_it_says_that_it_lives(web: httpx.Client, path: str) -> None:
    assert web.get(path).json()["status"] in ("ok", "ready")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:80", "192.168.0.7", socket.gethostname()])
def test_it_is_asked_by_an_address_or_its_own_name(web: httpx.Client, host: str) -> None:
    assert web.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "a@127.0.0.1", "127.0.0.1.evil.example"])
def test_another_name_is_not_served(web: httpx.Client, host: str) -> None:
    answer = web.get("/v1/models", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "permission_error"


def test_pages_of_other_sites_may_not_ask(web: httpx.Client, address: str) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        answer = web.post(CHAT, json=HELLO, headers={"origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    assert web.get("/v1/models", headers={"origin": address}).status_code == 200


def test_a_site_and_a_name_that_were_let_in(shared_bot: Bot, tmp_path: Path) -> None:
    site = "https://app.example"
    client = inside(shared_bot, tmp_path, hosts=["bot.example"], origins=[site])
    answer = client.get("/v1/models", headers={"origin": site, "host": "bot.example"})
    assert answer.headers["access-control-allow-origin"] == site
    before = {
        "origin": site,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    assert client.options(CHAT, headers=before).status_code == 200
    assert client.get("/v1/models", headers={"origin": "https://other.example"}).status_code == 403


def test_doors_know_the_address_listened_on() -> None:
    assert "bot.lan" in Doors.of("bot.lan").hosts


def test_every_answer_has_the_id_of_its_request(web: httpx.Client) -> None:
    assert web.get("/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = {web.get(path).headers["x-request-id"] for path in ("/healthz", "/nothing", "/v1/nothing", "/healthz")}
    assert len(made) == 4
    assert len(web.get("/healthz", headers={"x-request-id": "a b\tc" * 99}).headers["x-request-id"]) == 32


def test_a_large_body_is_refused_whether_or_not_its_length_is_told(web: httpx.Client) -> None:
    large = json.dumps(HELLO | {"user": "x" * gate.MOST_BYTES}).encode()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(large), 2**16):
            yield large[start : start + 2**16]

    kind = {"content-type": "application/json"}
    for content in (large, pieces()):
        answer = web.post(CHAT, content=content, headers=kind)
        assert answer.status_code == 413, answer.text
        assert answer.json()["error"]["type"] == "invalid_request_error"


BODIES = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b'{"messages": ' + b"[" * 100_000,
    b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"messages": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    b'{"messages": [{"role": "user", "content": ' + b"[" * 900 + b"]" * 900 + b"}]}",
    b'{"messages": [{"role": "user", "content": "Hi"}], "seed": ' + b"9" * 5000 + b"}",
    b'{"messages": [{"role": "user", "content": "Hi"}], "temperature": NaN}',
    b'{"messages": [{"role": "user", "content": "Hi"}], "temperature": Infinity}',
    b'{"messages": [null]}',
    b'{"messages": [[]]}',
    b'{"messages": [{"role": {"a": 1}, "content": "Hi"}]}',
]


POSTS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/respond")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'[{"input": "Hi"}]', b'"text"', b"3", b"true"])
def test_a_body_that_is_no_object_is_refused_by_every_route(web: httpx.Client, path: str, body: bytes) -> None:
    answer = web.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"] == "the body has to be a JSON object (content-type: application/json)"


@pytest.mark.parametrize(
    ("path", "form", "needed"),
    [
        ("/v1/chat/completions", ChatRequest, {"messages": HELLO["messages"]}),
        ("/v1/completions", CompletionRequest, {"prompt": "Hello"}),
        ("/v1/responses", ResponseRequest, {"input": "Hello"}),
        ("/v1/embeddings", EmbeddingRequest, {"input": "Hello"}),
        ("/v1/respond", Question, {"message": "Hello"}),
    ],
)
def test_null_is_as_good_as_absent(web: httpx.Client, path: str, form: type[BaseModel], needed: dict[str, Any]) -> None:
    nulls: dict[str, Any] = dict.fromkeys(form.model_fields)
    few = {name: 1 for name in ("max_tokens", "drafts") if name in nulls}
    answer = web.post(path, json=nulls | few | needed)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_what_is_no_request_is_refused_in_form(web: httpx.Client, body: bytes) -> None:
    answer = web.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert len(answer.text) < 1000


def test_another_content_type_is_refused(web: httpx.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = web.post(CHAT, content=json.dumps(HELLO), headers={"content-type": kind})
        assert answer.status_code == 400
        assert "application/json" in answer.json()["error"]["message"]


def test_lone_surrogates_come_back_as_valid_json(web: httpx.Client) -> None:
    body = b'{"model": "adapterbot/\\ud800", "messages": [{"role": "user", "content": "Hi \\udfff"}]}'
    answer = web.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 404
    body = body.replace(b"adapterbot/\\ud800", b"adapterbot/chitchat").replace(
        b"]}", b'], "max_tokens": 2, "drafts": 1}'
    )
    assert web.post(CHAT, content=body, headers={"content-type": "application/json"}).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f600" * 3,
        "a\u0301" * 99,
        "\u0645\u0631\u062d\u0628\u0627",
        "Hi\0there",
        "x" * 100_000,
        "<|endoftext|>" * 9999,
        "a\tb [SEP] <|im_end|>",
    ],
)
def test_texts_of_every_kind_are_answered(web: httpx.Client, text: str) -> None:
    answer = web.post(CHAT, json=HELLO | {"messages": [{"role": "user", "content": text}]})
    assert answer.status_code == 200, answer.text


def test_a_long_history_with_forged_roles_is_read_at_its_end(web: httpx.Client) -> None:
    messages = [{"role": ("user", "assistant", "system", "tool")[i % 4], "content": f"line {i}"} for i in range(4000)]
    answer = web.post(CHAT, json=HELLO | {"messages": [*messages, {"role": "user", "content": "And now?"}]})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/", 404),
        ("GET", CHAT, 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/x", 404),
    ],
)
def test_wrong_places_are_told_in_form(web: httpx.Client, method: str, path: str, status: int) -> None:
    answer = web.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/models", "GET, HEAD"),
        ("OPTIONS", "/v1/models", "GET, HEAD"),
        ("OPTIONS", CHAT, "POST"),
        ("GET", CHAT, "POST"),
        ("PATCH", "/v1/sessions", "GET, HEAD, POST"),
        ("POST", "/v1/responses/resp_1", "DELETE, GET, HEAD"),
        ("TRACE", "/healthz", "GET, HEAD"),
    ],
)
def test_another_method_is_told_in_form(web: httpx.Client, method: str, path: str, allow: str) -> None:
    answer = web.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    error = answer.json()["error"]
    assert error["message"] == f"{path} does not take {method}"
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/v1/models/adapterbot", "/v1/sessions", CHAT])
def test_head_tells_what_get_would(web: httpx.Client, path: str) -> None:
    """As those ask who only look whether a server is there."""
    whole, head = web.get(path), web.head(path)
    assert head.status_code == whole.status_code
    assert head.content == b""
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert head.headers["x-request-id"] != whole.headers["x-request-id"]
    if whole.is_success:
        assert head.headers["content-length"] == str(len(whole.content))


def test_no_model_has_no_name(web: httpx.Client) -> None:
    assert web.get("/v1/models/").status_code == 404


def test_what_nobody_expected_is_told_without_details(
    shared_bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret of the message")

    monkeypatch.setattr(shared_bot, "respond", broken, raising=False)
    with structlog.testing.capture_logs() as lines:
        answer = inside(shared_bot, tmp_path).post(CHAT, json=HELLO)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "failed"
    assert "secret" not in answer.text
    assert any(line["event"] == "failed" and line["error"] == "RuntimeError" for line in lines)


def test_the_log_has_a_line_for_each_request_and_no_word_of_it(
    shared_bot: Bot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = structlog.get_config()
    http.log_as_json()
    try:
        client = inside(shared_bot, tmp_path)
        text = "Zanzibarian xylophones"
        client.post(
            CHAT, json=HELLO | {"messages": [{"role": "user", "content": text}]}, headers={"x-request-id": "r1"}
        )
        client.post(CHAT, json=HELLO | {"messages": [{"role": text, "content": text}]})
    finally:
        structlog.configure(**before)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    answered = [line for line in lines if line["event"] == "answered"]
    assert [line["status"] for line in answered] == [200, 400]
    assert answered[0]["request_id"] == "r1"
    assert answered[0]["route"] == CHAT
    assert "Zanzibar" not in json.dumps(lines)


def test_the_figures_are_there(web: httpx.Client) -> None:
    web.post(CHAT, json=HELLO | {"stream": True})
    page = web.get("/metrics").text
    assert 'adapterbot_replies_total{routed_by="forced",skill="chitchat"}' in page
    assert f'adapterbot_requests_total{{route="{CHAT}",status="200"}}' in page
    for name in ("first_token_seconds", "token_seconds", "queue_seconds", "replies_running", "replies_waiting"):
        assert f"adapterbot_{name}" in page


def test_the_description_names_the_routes(web: httpx.Client) -> None:
    described = web.get("/openapi.json").json()
    assert {CHAT, "/v1/models", "/v1/respond", "/v1/sessions", "/healthz"} <= described["paths"].keys()
    assert web.get("/docs").status_code == 404, "its page would load scripts from elsewhere"
