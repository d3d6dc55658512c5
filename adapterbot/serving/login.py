"""The app's door where keys are needed: whoever gives one gets a cookie that no script can read."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from adapterbot.serving.gate import COOKIE
from adapterbot.serving.keys import LOGIN, Access

routes = APIRouter(include_in_schema=False)
HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>adapterbot: log in</title>
<style>
  :root { color-scheme: light dark }
  body { font: 1rem system-ui, sans-serif; max-width: 26rem; margin: 15vh auto; padding: 0 1rem }
  input, button { font: inherit; padding: .5rem; width: 100%; box-sizing: border-box; margin-top: .5rem }
</style>
<h1>adapterbot</h1>
<form method="post" action="/login">
  <label>Your key <input type="password" name="key" autocomplete="current-password" autofocus required></label>
  <button>Log in</button>
  <p role="alert">{note}</p>
</form>
"""


@routes.get("/login")
async def page() -> Response:
    """A form that asks for a key."""
    return _page("")


@routes.post("/login")
async def log_in(request: Request) -> Response:
    """Let a browser in for some hours."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    access: Access = request.app.state.access
    cookie = await access.log_in(fields.get("key", [""])[0])
    if cookie is None:
        return _page("This key opens nothing. `adapterbot keys list` shows those that there are.", 401)
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie, max_age=int(LOGIN), httponly=True, samesite="strict", secure=secure)
    return answer


def _page(note: str, status: int = 200) -> Response:
    return HTMLResponse(PAGE.replace("{note}", note), status, HEADERS)
