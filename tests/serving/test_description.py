"""schemathesis asks what the OpenAPI page describes, well formed and not: nothing fails, nothing else is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from adapterbot.bot import Bot
from adapterbot.serving import http
from adapterbot.storage.keys import KeyStore

schemathesis = pytest.importorskip("schemathesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")
CONFORMS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
MOST = 8  # requests of an operation, well formed and as many that are not
SIZES = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "drafts", "n")


def test_every_answer_is_described(shared_bot: Bot, tmp_path: Path) -> None:
    app = http.api(shared_bot, KeyStore(tmp_path / "keys.sqlite3"), http.Settings(hosts=("testserver",)))
    found = [each.ok() for each in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()]
    assert {operation.path for operation in found} >= {"/v1/chat/completions", "/v1/sessions", "/metrics"}
    for operation in found:
        ask(operation.as_strategy())
        if operation.body or operation.query:  # there is something to get wrong
            ask(operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))


def ask(cases: Any) -> None:
    """Ask what a strategy draws, the same at each run."""

    @settings(
        max_examples=MOST,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def asked(case: Any) -> None:
        if isinstance(case.body, dict):  # as little work as shows an answer
            for name in SIZES:
                if type(size := case.body.get(name)) is int and size > 2:
                    case.body[name] = 2
        answer = case.call(timeout=600)  # seconds
        assert answer.status_code != 500, f"{case.as_curl_command()}\n{answer.text}"
        case.validate_response(answer, checks=CONFORMS)

    asked()
