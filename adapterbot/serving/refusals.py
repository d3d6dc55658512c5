"""What went wrong, as OpenAI's clients read it: `{"error": {"message", "type", "param", "code"}}` and a status."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from adapterbot.errors import AdapterbotError, BusyError, InputError, LateError, SettingError, UnknownNameError, shorten

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
TYPE = re.compile(r"(str|int|float|bool)|(list|dict)\[.*\]")  # how the framework names the types that a field may have
RETRY = {"retry-after": "1"}  # seconds
log = structlog.get_logger("adapterbot.serving")


class ApiError(Exception):
    """A request that is refused; `param` is the field that is wrong, `code` a short name for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class ErrorBody(BaseModel):
    """What an error is told in."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """Every answer whose status is 400 or above."""

    error: ErrorBody


# For the OpenAPI page: what any route may answer.
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": meaning}
    for status, meaning in {
        400: "The request cannot be answered; `message` says what is wrong.",
        401: "No key, or one that opens nothing.",
        403: "A host or a page that is not served, or a key that may not do this.",
        404: "No such model, skill or session.",
        405: "Another method.",
        413: "The body is too large.",
        429: "More requests than the key may make; `retry-after` says when the next is answered.",
        500: "The server failed; its log has the same request id.",
        503: "As many replies are waited for as may, the server is stopping, or the skill cannot answer.",
        504: "The reply was not there in the time that the server gives it.",
    }.items()
}


class Answer(Response):
    """JSON of any value: lone surrogates become '?', and what is no number becomes null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return json_bytes(content)


def json_bytes(content: Any) -> bytes:
    """`content` as one line of JSON that every parser reads."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:  # NaN or an infinity somewhere: rare, so that looking for it costs nothing else
        text = json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def told(error: Exception) -> ApiError:
    """Any error as one that is told; what nobody expected is logged and told without its details."""
    match error:
        case ApiError():
            return error
        case UnknownNameError(kind=kind):
            return ApiError(404, str(error), param=kind, code=f"{kind.replace(' ', '_')}_not_found")
        case InputError() | SettingError():
            return ApiError(400, str(error))
        case LateError():
            return ApiError(504, str(error), code="timeout", headers=RETRY)
        case BusyError():
            return ApiError(503, str(error), code="busy", headers=RETRY)
        case AdapterbotError():
            return ApiError(503, str(error), code="cannot_answer")
        case _:
            log.exception("failed", error=type(error).__name__)
            return ApiError(500, "the server failed at this request; its log has the same request id", code="failed")


def answer_of(error: Exception) -> Answer:
    """The whole answer to a request that raised `error`."""
    refusal = told(error)
    return Answer(refusal.to_dict(), refusal.status, refusal.headers)


def tell_all(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Let `app`, which has these routes, tell its own errors and the framework's in this form.

    What nobody expected, the gate tells.
    """

    async def plain(_: Request, error: Exception) -> Response:
        return answer_of(error)

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        known = {
            404: f"nothing is at {shorten(request.url.path)}; GET /openapi.json has all routes",
            405: f"{shorten(request.url.path)} does not take {shorten(request.method)}",
        }
        message = known.get(error.status_code, str(error.detail))
        headers = {"allow": allowed(routes, request)} if error.status_code == 405 else error.headers
        return answer_of(ApiError(error.status_code, message, headers=headers))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer_of(_invalid(error.errors()))

    app.add_exception_handler(ApiError, plain)
    app.add_exception_handler(AdapterbotError, plain)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, invalid)


def allowed(routes: Sequence[BaseRoute], request: Request) -> str:
    """The methods that a path takes, all routes of it together; HEAD wherever GET is."""
    methods = set[str]()
    for route in routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= set(getattr(route, "methods", None) or ())
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _invalid(faults: Sequence[Any]) -> ApiError:
    """The first fault of a body, by the name of its field."""
    fault = _furthest(faults)
    parts = [str(part) for part in fault["loc"] if part not in ("body", "query", "path")]
    place = [part for part in parts if not TYPE.fullmatch(part)]
    if fault["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {shorten(str(fault['ctx']['error']))} at character {place[0]}")
    if not place:
        return ApiError(400, "the body has to be a JSON object (content-type: application/json)")
    where = ".".join(place)
    return ApiError(400, f"{shorten(where)}: {fault['msg']}", param=shorten(where))


def _furthest(faults: Sequence[Any]) -> Any:
    """The first fault; of a field that may be of several types, the one of the type that goes furthest."""
    place = faults[0]["loc"]
    if len(place) < 3 or not TYPE.fullmatch(str(place[2])):
        return faults[0]
    same = [fault for fault in faults if fault["loc"][:2] == place[:2]]
    return max(same, key=lambda fault: [part for part in fault["loc"] if isinstance(part, int)])
