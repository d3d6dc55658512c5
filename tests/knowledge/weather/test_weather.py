"""The weather source: which place is meant, the row it gives, and everything that can go wrong on the network."""

from __future__ import annotations

import copy
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterbot.data.dialogue import read_dialogues
from adapterbot.facts import Day, Forecast, Nothing, Notice
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.knowledge.weather import open_meteo as forecast
from adapterbot.knowledge.weather.open_meteo import SKY, NoForecastError, OpenMeteo, Place, Week, read_week
from adapterbot.knowledge.weather.places import MAX_TEXT, mentions, named_place
from adapterbot.knowledge.weather.source import NO_PLACE, SAMPLE, SampleForecasts, WeatherSource, week_of
from adapterbot.language.dates import DAYS
from adapterbot.language.values import VALUES
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import KnowledgeTable, SkillSpec

HOSTS = {"geocoding-api.open-meteo.com", "api.open-meteo.com"}
MONDAY = date(2024, 7, 1)
PLACES: list[dict[str, Any]] = [
    {"name": "Oslo", "country": "Norway", "country_code": "NO", "admin1": "Oslo", "population": 580000},
    {"name": "Paris", "country": "France", "country_code": "FR", "admin1": "Île-de-France", "population": 2138551},
    {"name": "Paris", "country": "United States", "country_code": "US", "admin1": "Texas", "population": 24782},
    {"name": "Nice", "country": "France", "country_code": "FR", "population": 338620},
    {"name": "New York", "country": "United States", "country_code": "US", "admin1": "New York", "population": 8804190},
    {"name": "São Paulo", "country": "Brazil", "country_code": "BR", "population": 10021295},
    {"name": "Zinkgruvan", "country": "Sweden", "country_code": "SE", "population": 371},
    {"name": "Cambridge", "country": "United Kingdom", "country_code": "GB", "admin1": "England", "population": 145674},
]
WEEK: dict[str, Any] = {
    "utc_offset_seconds": 7200,
    "daily_units": {"time": "iso8601", "temperature_2m_max": "°F", "temperature_2m_min": "°F"},
    "daily": {
        "time": [str(MONDAY + timedelta(days=2 + i)) for i in range(7)],  # from Wednesday on
        "weather_code": [61, 0, 3, 95, 71, 45, 51],
        "temperature_2m_min": [40.4, 41, 42, 43, 44, 45, -3.7],
        "temperature_2m_max": [52.4, 53, 54, 55, 56, 57, 58],
    },
}
OSLO_ROW = (
    "location: oslo, monday: foggy, low of 45F, high of 57F, tuesday: drizzling, low of -4F, high of 58F, "
    "wednesday: rainy, low of 40F, high of 52F, thursday: sunny, low of 41F, high of 53F, "
    "friday: overcast, low of 42F, high of 54F, saturday: stormy, low of 43F, high of 55F, "
    "sunday: snowy, low of 44F, high of 56F, today: wednesday"
)


class Service:
    """Open-Meteo as a mock transport: the places above, one week for all of them, and every request that came."""

    def __init__(self) -> None:
        self.requests = list[httpx.Request]()
        self.transport = httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        asked = request.url.params
        if request.url.path == "/v1/forecast":
            unit = "°F" if asked["temperature_unit"] == "fahrenheit" else "°C"
            units = dict.fromkeys(("temperature_2m_max", "temperature_2m_min"), unit)
            return httpx.Response(200, json=WEEK | {"daily_units": units})
        wanted = forecast.fold(asked["name"])
        found = [
            p | {"latitude": 59.9, "longitude": i} for i, p in enumerate(PLACES) if forecast.fold(p["name"]) == wanted
        ]
        return httpx.Response(200, json={"generationtime_ms": 0.5} | ({"results": found} if found else {}))

    @property
    def names(self) -> list[str]:
        return [r.url.params["name"] for r in self.requests if "name" in r.url.params]


class Clock:
    """Seconds that only pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "ADAPTERBOT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service() -> Service:
    return Service()


def talk(*said: str) -> History:
    """User turns with a bot's answer between them."""
    history = History().add_user(said[0])
    for text in said[1:]:
        history = history.add_bot("It will be rainy in Berlin.").add_user(text)
    return history


def source(service: Service, clock: Callable[[], float] = time.monotonic, **options: Any) -> WeatherSource:
    return WeatherSource(OpenMeteo(service.transport, clock), **{"units": "imperial", **options})


def texts(source: WeatherSource, *said: str) -> list[str]:
    return [fact.line for fact in source.retrieve(talk(*said))]


# -- which place ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Will it rain in Oslo tomorrow?", ["Oslo"]),
        ("weather in san francisco tomorrow", ["san francisco"]),
        ("weather dublin pls", ["dublin"]),
        ("oslo", ["oslo"]),
        ("RAIN IN PARIS", ["paris"]),
        ("Will London be sunny?", ["London"]),
        ("I'm flying to Rio de Janeiro on Friday", ["Rio de Janeiro"]),
        ("is it colder in Kansas City or in Cape Town?", ["Kansas City", "Cape Town"]),
        ("how is the Isle of Man today", ["the Isle of Man"]),
        ("Rome or Athens?", ["Athens", "Rome"]),
        ("What's Oslo's weather?", ["Oslo"]),
        ("st. louis forecast", ["st louis"]),
        ("is it warm enough to swim in nice on tuesday", ["nice"]),
        ("I'm at the game tonight, near Seattle.", ["Seattle"]),
        ("And on Sunday?", []),
        ("is it warm in the morning in march", []),
        ("Do I need a coat today?", []),
        ("the weather for the picnic, is it nice", []),
        ("in \ud800", []),
        ("", []),
    ],
)
def test_places_are_found_by_the_way_they_are_said(text: str, names: list[str]) -> None:
    assert [mention.name for mention in mentions(text)] == names


def test_the_likeliest_place_comes_first() -> None:
    first, *_ = mentions("Tell Anna whether it is going to rain in oslo")
    assert (first.name, first.sure) == ("oslo", True)


@pytest.mark.parametrize("text", ["in Paris, Texas", "Paris, Texas", "will Paris, Texas be hot"])
def test_what_follows_a_comma_may_be_the_state(text: str) -> None:
    first = mentions(text)[0]
    assert (first.name, first.within) == ("Paris", "Texas")


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_a_few_clean_names_or_none(text: str) -> None:
    for mention in mentions(text):
        assert re.fullmatch(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*", mention.name)
        assert len(mention.name.split()) <= 5


def test_a_very_long_message_is_cut() -> None:
    start = time.monotonic()
    assert mentions("a " * MAX_TEXT + "in Oslo") == []
    mentions("Oslo of " * 20_000)
    assert time.monotonic() - start < 1


# -- the row ----------------------------------------------------------------------------------------------------------


def test_a_question_gets_the_row_that_the_skill_learns_from(service: Service) -> None:
    (fact,) = source(service).retrieve(talk("How is the weather in Oslo?"))
    assert fact.line == OSLO_ROW
    assert isinstance(fact, Forecast)
    assert (fact.place, fact.today, fact.unit, fact.source) == ("oslo", "wednesday", "F", "weather")
    assert [day.weekday for day in fact.days] == list(DAYS)
    assert fact.days[2] == Day("wednesday", "rainy", 40, 52)
    assert (fact.names, fact.row[0]) == (("oslo",), ("location", "oslo"))
    assert fact.heading == "Oslo, Norway (data by Open-Meteo.com, CC BY 4.0)"


def test_what_is_asked_of_the_service(service: Service) -> None:
    source(service).retrieve(talk("Will it rain in Oslo tomorrow?"))
    places, week = (request.url for request in service.requests)
    assert str(places.copy_with(query=None)) == "https://geocoding-api.open-meteo.com/v1/search"
    assert dict(places.params) == {"name": "Oslo", "count": "10", "language": "en", "format": "json"}
    assert str(week.copy_with(query=None)) == "https://api.open-meteo.com/v1/forecast"
    assert week.params["forecast_days"] == "7"
    assert week.params["latitude"] == "59.9000"
    assert week.params["daily"] == "weather_code,temperature_2m_max,temperature_2m_min"


def test_metric_units(service: Service) -> None:
    (text,) = texts(source(service, units="metric"), "Oslo")
    assert "wednesday: rainy, low of 40C, high of 52C" in text
    assert service.requests[-1].url.params["temperature_unit"] == "celsius"


@given(st.integers(0, 6))
def test_a_row_has_every_weekday_once_in_order(today: int) -> None:
    days = tuple(forecast.Day("sunny", i, 10 + i) for i in range(7))
    text = week_of(
        Place(name="Oslo", latitude=0, longitude=0), Week(MONDAY + timedelta(days=today), days), "imperial"
    ).line
    assert re.findall(r"(\w+): sunny", text) == list(DAYS)
    assert f"{DAYS[today]}: sunny, low of 0F" in text
    assert text.endswith(f"today: {DAYS[today]}")


@given(st.text(min_size=1, max_size=200))
def test_a_name_from_the_network_cannot_break_a_row(name: str) -> None:
    days = (forecast.Day("sunny", 1, 2),) * 7
    text = week_of(Place(name=name, latitude=0, longitude=0), Week(MONDAY, days), "imperial").line
    assert len(text.split(", ")) == 23
    assert text.count(": ") == 9
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Is it hot in Paris?", "Paris, France"),
        ("Is it hot in Paris, Texas?", "Paris, Texas, United States"),
        ("is it hot in paris tx", "Paris, Texas, United States"),
        ("is it hot in cambridge england", "Cambridge, England, United Kingdom"),
        ("is it hot in cambridge, UK", "Cambridge, England, United Kingdom"),
        ("will it rain in nyc", "New York, United States"),
        ("sao paulo?", "São Paulo, Brazil"),
        ("swim in nice on tuesday", "Nice, France"),
        ("in Zinkgruvan", "Zinkgruvan, Sweden"),
    ],
)
def test_the_place_that_is_meant(service: Service, text: str, title: str) -> None:
    (fact,) = source(service).retrieve(talk(text))
    assert fact.heading.partition(" (")[0] == title


def test_a_hamlet_is_not_taken_for_a_word_of_the_message(service: Service) -> None:
    assert source(service).retrieve(talk("zinkgruvan weather")) == [NO_PLACE]


def test_two_places_give_two_rows(service: Service) -> None:
    both = texts(source(service, limit=2), "Is it warmer in Oslo or in Paris?")
    assert [text.split(",")[0] for text in both] == ["location: oslo", "location: paris"]
    assert len(texts(source(service, limit=1), "Is it warmer in Oslo or in Paris?")) == 1


def test_a_follow_up_keeps_the_last_place(service: Service) -> None:
    (text,) = texts(source(service), "Will it rain in Paris?", "And in Oslo?", "and on sunday?")
    assert text.startswith("location: oslo,")


def test_the_bots_own_words_name_no_place(service: Service) -> None:
    assert source(service).retrieve(talk("hello", "and on sunday?")) == [NO_PLACE]


def test_an_unknown_place_is_not_answered_with_an_older_one(service: Service) -> None:
    assert texts(source(service), "Will it rain in Paris?", "And in Xyzzy?") == []


def test_without_a_place_the_fact_says_so(service: Service) -> None:
    (fact,) = source(service).retrieve(talk("Will it rain tomorrow?"))
    assert fact == Notice("place", "not given", source="weather")
    assert fact.line == "place: not given"
    assert service.requests == []


@pytest.mark.parametrize("usual", ["Oslo", " oslo ", "Oslo, Norway"])
def test_the_usual_place(service: Service, usual: str) -> None:
    assert texts(source(service, place=usual), "Will it rain?") == [OSLO_ROW]
    assert texts(source(service, place=usual), "Will it rain in Paris?")[0].startswith("location: paris,")


def test_a_place_with_its_country_is_parted() -> None:
    assert (named_place(" Paris ,  Texas").name, named_place("Paris, Texas").within) == ("Paris", "Texas")


def test_one_turn_looks_up_a_few_names_only(service: Service) -> None:
    source(service, limit=20).retrieve(talk("in " + ", in ".join(f"Aa{c}a Bb{c}b Cc{c}c" for c in "abcdefgh")))
    assert len(service.requests) == 5


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=200))
def test_no_text_leads_to_another_host(text: str) -> None:
    service = Service()
    source(service).retrieve(talk(f"in {text}", text, f"in http://127.0.0.1/{text} in evil.example"))
    for request in service.requests:
        assert request.url.scheme == "https"
        assert request.url.host in HOSTS
        assert len(request.url.params.get("name", "")) <= 100
        assert set(request.url.params) <= {"name", "count", "language", "format"} or "name" not in request.url.params


# -- answers that are no forecast -------------------------------------------------------------------------------------


def changed(path: str, value: object) -> bytes:
    """The good answer with one value replaced; `path` is parts joined by dots."""
    answer: Any = copy.deepcopy(WEEK)
    *parents, last = path.split(".")
    inner = answer
    for part in parents:
        inner = inner[part]
    inner[last] = value
    return json.dumps(answer).encode()


BAD = [
    changed("daily", None),
    changed("daily", {}),
    changed("daily.weather_code", [0] * 6),
    changed("daily.weather_code", [0] * 8),
    changed("daily.weather_code", [0] * 6 + [4]),
    changed("daily.weather_code", [0] * 6 + [None]),
    changed("daily.weather_code", [0.5] * 7),
    changed("daily.weather_code", "0000000"),
    changed("daily.temperature_2m_max", ["52"] * 7),
    changed("daily.temperature_2m_max", [float("nan")] * 7),
    changed("daily.temperature_2m_max", [float("inf")] * 7),
    changed("daily.temperature_2m_max", [1e9] * 7),
    changed("daily.temperature_2m_max", [True] * 7),
    changed("daily.temperature_2m_max", [-100] * 7),
    changed("daily.time", [str(MONDAY)] * 7),
    changed("daily.time", ["2024-13-01"] * 7),
    changed("daily.time", [None] * 7),
    changed("daily_units", {"temperature_2m_max": "°C", "temperature_2m_min": "°C"}),
    changed("utc_offset_seconds", "7200"),
    b"",
    b"null",
    b"[]",
    b"<html>sorry</html>",
    b"{'daily': __import__('os').system('touch /tmp/never')}",
    b"[" * 100_000,
    b"\xff\xfe\x00",
    json.dumps(WEEK).encode()[:-5],
]


def test_the_good_answer_is_read() -> None:
    week = read_week(json.dumps(WEEK).encode(), "imperial")
    assert (week.first, week.offset, week.days[0]) == (MONDAY + timedelta(days=2), 7200, forecast.Day("rainy", 40, 52))


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_a_bad_forecast_is_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_week(body, "imperial")

    def answer(request: httpx.Request) -> httpx.Response:
        place = {"name": "Oslo", "latitude": 59.9, "longitude": 10.7}
        return httpx.Response(200, content=body if "forecast" in request.url.path else json.dumps({"results": [place]}))

    bad = WeatherSource(OpenMeteo(httpx.MockTransport(answer)), units="imperial")
    assert bad.retrieve(talk("Will it rain in Oslo?")) == []


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"latitude": "59"},
        {"latitude": 91},
        {"name": ""},
        {"name": 5},
        {"population": -1},
        {"admin1": None},
        None,
        3,
    ],
)
def test_a_bad_place_is_none(place: Any) -> None:
    whole = (
        {"name": "Oslo", "latitude": 59.9, "longitude": 10.7} | place if isinstance(place, dict) and place else place
    )
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"results": [whole]}))
    with pytest.raises(NoForecastError):
        OpenMeteo(answer).find("Oslo")


@pytest.mark.parametrize("over", [0, 1])
def test_an_answer_may_have_256_kilobytes(over: int) -> None:
    good = json.dumps({"results": [{"name": "Oslo", "latitude": 59.9, "longitude": 10.7}]})
    body = good.ljust(256 * 1024 + over).encode()
    live = OpenMeteo(httpx.MockTransport(lambda _: httpx.Response(200, content=body)))
    if over:
        with pytest.raises(NoForecastError):
            live.find("Oslo")
    else:
        assert [place.name for place in live.find("Oslo")] == ["Oslo"]


# -- a real server ----------------------------------------------------------------------------------------------------


class Local:
    """A server on 127.0.0.1 that does with a request what it is told to."""

    def __init__(self) -> None:
        self.seen, self.sent = list[str](), 0
        self.stopped = threading.Event()
        self.behave: Callable[[BaseHTTPRequestHandler], None] = lambda handler: None
        local = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                local.seen.append(self.path)
                try:
                    local.behave(self)
                except OSError:  # the client has gone
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def local() -> Iterator[Local]:
    server = Local()
    yield server
    server.close()


class ToLocal(httpx.BaseTransport):
    """The real transport, but every request goes to a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port, self.tried = port, 0
        self._open = list[httpx.HTTPTransport]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host in HOSTS
        self.tried += 1
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        self._open.append(httpx.HTTPTransport(verify=False))
        return self._open[-1].handle_request(request)

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_a_real_answer_over_a_real_socket(local: Local) -> None:
    place = {"name": "Oslo", "country": "Norway", "latitude": 59.9, "longitude": 10.7}

    def behave(handler: BaseHTTPRequestHandler) -> None:
        answer = WEEK if handler.path.startswith("/v1/forecast") else {"results": [place]}
        send(handler, 200, json.dumps(answer).encode(), Content_Type="application/json")

    local.behave = behave
    found = WeatherSource(OpenMeteo(ToLocal(local.port)), units="imperial").retrieve(talk("Will it rain in Oslo?"))
    assert [fact.line for fact in found] == [OSLO_ROW]


def huge(local: Local) -> Callable[[BaseHTTPRequestHandler], None]:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(50):
            handler.wfile.write(b" " * 2**20)
            local.sent += 2**20

    return behave


def slow(local: Local) -> Callable[[BaseHTTPRequestHandler], None]:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        local.stopped.wait(10)

    return behave


def dripping(local: Local) -> Callable[[BaseHTTPRequestHandler], None]:
    """A header that never ends, a byte now and then: no single wait is long."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Never: ")
        for _ in range(100):
            if local.stopped.wait(0.05):
                break
            handler.wfile.write(b"x")

    return behave


def babbling(_: Local) -> Callable[[BaseHTTPRequestHandler], None]:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 ready\r\n")

    return behave


FAULTS: dict[str, Callable[[Local], Callable[[BaseHTTPRequestHandler], None]]] = {
    "500": lambda _: lambda handler: send(handler, 500, b"{}"),
    "429": lambda _: lambda handler: send(handler, 429, b'{"error": true, "reason": "too many"}'),
    "301 loop": lambda local: lambda h: send(h, 301, Location=f"http://127.0.0.1:{local.port}{h.path}"),
    "private address": lambda local: lambda h: send(h, 302, Location=f"http://127.0.0.1:{local.port}/latest/meta-data"),
    "50 MB": huge,
    "invalid JSON": lambda _: lambda handler: send(handler, 200, b'{"results": ['),
    "Python literal": lambda _: lambda handler: send(handler, 200, b"{'results': __import__('os').getcwd()}"),
    "empty": lambda _: lambda handler: send(handler, 200),
    "packed": lambda _: lambda handler: send(handler, 200, b"\x1f\x8b\x08", Content_Encoding="gzip"),
    "not HTTP": babbling,
    "slow": slow,
    "dripping": dripping,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_gives_no_facts_in_time(local: Local, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setattr(forecast, "TOTAL", 1.0)
    local.behave = FAULTS[fault](local)
    broken, start = WeatherSource(OpenMeteo(ToLocal(local.port))), time.monotonic()
    assert broken.retrieve(talk("Will it rain in Oslo?")) == []
    assert time.monotonic() - start < 2
    assert broken.retrieve(talk("Will it rain in Oslo?")) == []
    assert len(local.seen) == 1, "followed somewhere, or asked again at once"
    assert local.sent < 20 * 2**20  # what the sockets' buffers take


def test_a_refused_connection_is_quick_and_not_tried_again_for_a_minute() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clock, transport = Clock(), ToLocal(port)
    offline, start = WeatherSource(OpenMeteo(transport, clock)), time.monotonic()
    assert offline.retrieve(talk("Will it rain in Oslo?")) == []
    assert time.monotonic() - start < 1
    clock.now += 59
    assert offline.retrieve(talk("Will it rain in Paris?")) == []
    assert offline.retrieve(talk("Will it rain?")) == [], "asking for the city would be of no use"
    assert transport.tried == 1
    clock.now += 2
    offline.retrieve(talk("Will it rain in Paris?"))
    assert transport.tried == 2


def test_a_wait_that_nothing_limits_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up a host's name can hang for longer than any setting of the client says."""
    monkeypatch.setattr(forecast, "TOTAL", 0.2)
    let_go, tried = threading.Event(), []

    def hang(request: httpx.Request) -> httpx.Response:
        tried.append(request)
        let_go.wait(5)
        raise httpx.ConnectError("no such host")

    hanging, start = WeatherSource(OpenMeteo(httpx.MockTransport(hang))), time.monotonic()
    assert hanging.retrieve(talk("Will it rain in Oslo?")) == []
    assert hanging.retrieve(talk("Will it rain in Oslo?")) == []
    assert time.monotonic() - start < 1
    assert len(tried) == 1
    let_go.set()


def test_the_certificate_is_checked() -> None:
    tls = OpenMeteo().certificates()
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname


def test_a_defect_is_not_taken_for_bad_weather() -> None:
    def defect(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        WeatherSource(OpenMeteo(httpx.MockTransport(defect))).retrieve(talk("Will it rain in Oslo?"))


# -- offline, cache, threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ADAPTERBOT_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_asks_nobody(service: Service, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert texts(source(service), "Will it rain in Oslo?") == []
    assert texts(source(service), "Will it rain?") == []
    monkeypatch.setenv(name, "0")
    assert service.requests == []
    assert texts(source(service), "Will it rain in Oslo?") == [OSLO_ROW]


def test_answers_are_kept_for_half_an_hour(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 12 * 3600.0)
    clock = Clock()
    weather = source(service, clock)
    for passed, requests in ((0, 2), (1799, 2), (2, 4)):
        clock.now += passed
        assert texts(weather, "Will it rain in Oslo?") == [OSLO_ROW]
        assert len(service.requests) == requests


def test_a_forecast_ends_at_midnight_where_it_is_for(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 22 * 3600 - 60.0)  # 23:59 at an offset of two hours
    clock = Clock()
    weather = source(service, clock)
    for passed, requests in ((0, 2), (59, 2), (2, 3)):
        clock.now += passed
        texts(weather, "Will it rain in Oslo?")
        assert len(service.requests) == requests


def test_a_failure_is_kept_for_a_minute() -> None:
    clock, tried = Clock(), list[httpx.Request]()

    def fail(request: httpx.Request) -> httpx.Response:
        tried.append(request)
        return httpx.Response(500)

    weather = WeatherSource(OpenMeteo(httpx.MockTransport(fail), clock))
    for passed, requests in ((0, 1), (59, 1), (2, 2)):
        clock.now += passed
        assert weather.retrieve(talk("Will it rain in Oslo?")) == []
        assert len(tried) == requests


def test_the_cache_is_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "CACHE", 3)
    live = OpenMeteo(service.transport)
    for name in ("a1", "a2", "a3", "a4", "a4", "a2", "a1"):
        live.find(name)
    assert service.names == ["a1", "a2", "a3", "a4", "a1"]


def test_many_threads_get_their_own_answers(service: Service) -> None:
    weather = source(service)
    asked = ["Oslo", "Paris", "Nice", "New York"] * 25
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda name: texts(weather, f"Will it rain in {name}?"), asked))
    assert [text.split(",")[0] for (text,) in found] == [f"location: {name.lower()}" for name in asked]


# -- the sample, and the skill ----------------------------------------------------------------------------------------


def skill(**table: Any) -> SkillSpec:
    knowledge = KnowledgeTable(source="weather", **table)
    return SkillSpec(name="mine", folder=Path(), summary="s", group="task", knowledge=knowledge)


def test_the_demo_is_labelled_and_asks_nobody(home: Home) -> None:
    sample = open_source(Opening(skill(units="imperial"), home, demo=True))
    fahrenheit, celsius = (
        s.retrieve(talk("Will it rain in Oslo?"))
        for s in (sample, open_source(Opening(skill(units="metric"), home, demo=True)))
    )
    assert fahrenheit[0].heading == "Oslo, Norway (sample forecast, not real)"
    assert fahrenheit[0].line.startswith("location: oslo, monday: ")
    assert fahrenheit[0].line.endswith(f"today: {DAYS[date.today().weekday()]}")
    assert f"{DAYS[date.today().weekday()]}: snowy, low of 19F, high of 30F" in fahrenheit[0].line
    assert f"{DAYS[date.today().weekday()]}: snowy, low of -7C, high of -1C" in celsius[0].line
    assert sample.retrieve(talk("Will it rain in Xyzzy?")) == []
    assert sample.retrieve(talk("Will it rain?")) == [NO_PLACE]
    here = open_source(Opening(skill(), home, demo=True, place="Oslo"))
    assert here.retrieve(talk("Will it rain?")) == celsius  # as they say it there


def test_every_sample_place_has_a_week_of_known_skies() -> None:
    raw, sample = json.loads(SAMPLE.read_text(encoding="utf-8")), SampleForecasts()
    skies = {*SKY.values(), *VALUES, "hot", "dry"}
    for name, *_ in raw["places"]:
        (place,) = sample.find(name)
        days = sample.week(place, "imperial").days
        assert len(days) == 7
        assert all(day.sky in skies and day.low < day.high for day in days)


def test_the_shipped_skill_says_when_there_is_no_forecast(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERBOT_OFFLINE", "1")
    weather = open_source(Opening(SkillFolders(home).load("weather"), home))
    (fact,) = weather.retrieve(talk("Will it rain in Oslo?"))
    assert fact == Nothing("forecast", "not available")
    assert fact.line == "forecast: not available"


def test_the_shipped_skill_learns_to_ask_for_the_place(home: Home) -> None:
    dialogues = list(read_dialogues(SkillFolders(home).load("weather").folder / "examples.jsonl"))
    asked = [d for d in dialogues if any(turn.knowledge == (NO_PLACE.line,) for turn in d.turns)]
    assert len(asked) >= 10
    assert all(mentions(d.turns[0].text) == [] for d in asked if d.turns[1].knowledge == (NO_PLACE.line,))


def test_the_network_library_is_loaded_by_the_first_request_only() -> None:
    code = "import sys, adapterbot.knowledge.weather.source as w; w.OpenMeteo(); assert 'httpx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
