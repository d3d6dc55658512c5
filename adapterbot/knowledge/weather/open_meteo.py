"""3 · Places and forecasts from Open-Meteo.com: two fixed https addresses, small answers, short waits, a small cache.

The only text of a user that goes out is the name of a place. Whatever goes wrong is a NoForecastError.
"""

# Long: two services, places and forecasts, each with what can go wrong with it.

from __future__ import annotations

import datetime
import re
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from adapterbot.errors import KnowledgeError
from adapterbot.home import switched_on

if TYPE_CHECKING:  # only loaded by the first turn that may ask
    import ssl

    import httpx

PLACES = "https://geocoding-api.open-meteo.com/v1/search"
FORECAST = "https://api.open-meteo.com/v1/forecast"
DAYS = 7
# seconds for a connection; for all that one turn waits
CONNECT = 2.0
TOTAL = 4.0
MOST = 256 * 1024  # bytes of an answer
MAX_NAME = 100  # characters of a place's name
# seconds that an answer is kept; that a failure is
KEPT = 30 * 60.0
KEPT_FAILURE = 60.0
CACHE = 256  # answers
CREDIT = "data by Open-Meteo.com, CC BY 4.0"
AT_ONCE = 8  # turns that may wait at the same time
HEADERS = {"User-Agent": "adapterbot", "Accept": "application/json", "Accept-Encoding": "identity"}

Units = Literal["imperial", "metric"]
T = TypeVar("T")

# WMO code 4677 as far as Open-Meteo uses it -> one word, as in the forecasts that the skill is trained on.
SKY: Mapping[int, str] = (
    {0: "sunny", 1: "clear", 2: "cloudy", 3: "overcast"}
    | dict.fromkeys((45, 48), "foggy")
    | dict.fromkeys((51, 53, 55, 56, 57), "drizzling")
    | dict.fromkeys((61, 63, 65, 66, 67, 80, 81, 82), "rainy")
    | dict.fromkeys((71, 73, 75, 77, 85, 86), "snowy")
    | dict.fromkeys((95, 96, 99), "stormy")
)
# Where temperatures are told in Fahrenheit (Unicode CLDR, supplemental data on measurement).
FAHRENHEIT = frozenset(re.findall("..", "USASBSBZFMGUKYLRMHMPPRPWTCVI"))
STATES = dict(
    re.findall(
        "(..) ([^,]+),?",
        "al alabama,ak alaska,az arizona,ar arkansas,ca california,co colorado,ct connecticut,de delaware,fl florida,"
        "ga georgia,hi hawaii,id idaho,il illinois,in indiana,ia iowa,ks kansas,ky kentucky,la louisiana,me maine,"
        "md maryland,ma massachusetts,mi michigan,mn minnesota,ms mississippi,mo missouri,mt montana,ne nebraska,"
        "nv nevada,nh new hampshire,nj new jersey,nm new mexico,ny new york,nc north carolina,nd north dakota,oh ohio,"
        "ok oklahoma,or oregon,pa pennsylvania,ri rhode island,sc south carolina,sd south dakota,tn tennessee,tx texas,"
        "ut utah,vt vermont,va virginia,wa washington,wv west virginia,wi wisconsin,wy wyoming,dc district of columbia,"
        "uk united kingdom,us united states",
    )
) | {"usa": "united states", "britain": "united kingdom", "great britain": "united kingdom"}


class NoForecastError(KnowledgeError):
    """There was no usable answer."""


class Answer(BaseModel):
    """Base of what is read from the network: numbers are numbers, and finite ones."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Place(Answer):
    """A place that the gazetteer knows. `admin1` is its state or province."""

    name: str = Field(min_length=1, max_length=200)
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    country: str = Field("", max_length=200)
    country_code: str = Field("", max_length=8)
    admin1: str = Field("", max_length=200)
    population: int = Field(0, ge=0)

    @property
    def units(self) -> Units:
        """The degrees that people use there."""
        return "imperial" if self.country_code in FAHRENHEIT or self.country == "United States" else "metric"

    def lies_in(self, region: str) -> bool:
        """Whether `region` is its state or country: a name, or letters such as TX or uk."""
        wanted = fold(region)
        names = {fold(self.admin1), fold(self.country)} - {""}
        return wanted in names | {fold(self.country_code)} - {""} or STATES.get(wanted) in names


class _Places(Answer):
    results: tuple[Place, ...] = ()


Seven = Annotated[tuple[T, ...], Field(min_length=DAYS, max_length=DAYS)]
Degrees = Annotated[float, Field(ge=-150, le=150)]


class _Daily(Answer):
    time: Seven[datetime.date]
    weather_code: Seven[float]
    temperature_2m_min: Seven[Degrees]
    temperature_2m_max: Seven[Degrees]


class _DailyUnits(Answer):
    temperature_2m_min: str
    temperature_2m_max: str


class _Forecast(Answer):
    utc_offset_seconds: int = Field(ge=-86400, le=86400)
    daily_units: _DailyUnits
    daily: _Daily


@dataclass(frozen=True, slots=True)
class Day:
    """One day's weather; whole degrees."""

    sky: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days from `first`, which is today there; `offset` is the place's time in seconds from UTC."""

    first: datetime.date
    days: tuple[Day, ...]
    offset: int = 0


class OpenMeteo:
    """The live service. Safe to use from several threads; after a failed connection it rests for a minute."""

    credit = CREDIT

    def __init__(
        self, transport: httpx.BaseTransport | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`transport` replaces the network, `clock` the seconds by which the cache and the rest are measured."""
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._cache: OrderedDict[tuple[str, ...], tuple[float, object]] = OrderedDict()
        self._rests_until = float("-inf")
        self._tls: ssl.SSLContext | None = None

    def resting(self) -> bool:
        """Whether nothing is asked now: offline by wish, or after a failed connection."""
        return switched_on("ADAPTERBOT_OFFLINE", "HF_HUB_OFFLINE") or self._clock() < self._rests_until

    def find(self, name: str) -> tuple[Place, ...]:
        """Places of that name, in the service's order; maybe none. Raises NoForecastError."""
        wanted = {"name": name[:MAX_NAME], "count": "10", "language": "en", "format": "json"}
        return self._ask(PLACES, wanted, lambda body: _Places.model_validate_json(body).results, lambda _: KEPT)

    def week(self, place: Place, units: Units) -> Week:
        """The coming days at `place`. Raises NoForecastError."""
        wanted = {
            "latitude": f"{place.latitude:.4f}",
            "longitude": f"{place.longitude:.4f}",
            "daily": "weather_code,temperature_2m_max,temperature_2m_min",
            "temperature_unit": "fahrenheit" if units == "imperial" else "celsius",
            "timezone": "auto",
            "forecast_days": str(DAYS),
        }
        return self._ask(FORECAST, wanted, lambda body: read_week(body, units), _until_midnight)

    def in_time(self, work: Callable[[], T]) -> T:
        """`work()`, or NoForecastError after TOTAL seconds.

        It runs in a thread of its own, which is left alone when it is late: looking up a host's name has no time limit.
        """
        self.certificates()  # not in the time that is counted: loading the library and these may take a second
        start = time.monotonic()
        if not self._slots.acquire(timeout=TOTAL):
            raise NoForecastError("too many are waiting for a forecast")
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)
            finally:
                self._slots.release()

        threading.Thread(target=run, name="weather", daemon=True).start()
        try:
            return done.result(max(0.0, TOTAL - (time.monotonic() - start)))
        except TimeoutError:
            self._rest()
            raise NoForecastError(f"no forecast within {TOTAL:g} seconds") from None

    def certificates(self) -> ssl.SSLContext | None:
        """What the service is known by, made once; nothing with another transport."""
        import httpx

        with self._lock:
            if self._tls is None and self._transport is None:
                self._tls = httpx.create_ssl_context()
            return self._tls

    def _ask(self, url: str, wanted: Mapping[str, str], read: Callable[[bytes], T], lasting: Callable[[T], float]) -> T:
        """What `read` makes of the answer; it is kept for the seconds that `lasting` says."""
        import httpx

        key = (url, *wanted.values())
        with self._lock:
            expires, kept = self._cache.get(key, (float("-inf"), None))
        if self._clock() < expires:
            if isinstance(kept, NoForecastError):
                raise NoForecastError(*kept.args)
            return kept  # type: ignore[return-value]  # what `read` made for the same url
        if self.resting():
            raise NoForecastError("offline")
        try:
            found = read(self._download(url, wanted))
        except (httpx.HTTPError, OSError, ValueError) as error:
            if isinstance(error, (httpx.TransportError, OSError)):
                self._rest()
            failure = NoForecastError(f"{httpx.URL(url).host}: {type(error).__name__}")
            self._keep(key, failure, KEPT_FAILURE)
            raise failure from None
        self._keep(key, found, lasting(found))
        return found

    def _download(self, url: str, wanted: Mapping[str, str]) -> bytes:
        import httpx

        until = time.monotonic() + TOTAL
        limits = httpx.Timeout(TOTAL, connect=CONNECT)
        tls = self.certificates() or True
        body = bytearray()
        client = httpx.Client(
            transport=self._transport, verify=tls, timeout=limits, headers=HEADERS, follow_redirects=False
        )
        with client, client.stream("GET", url, params=dict(wanted)) as answer:
            if answer.status_code != 200 or answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("not a plain answer")
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MOST or time.monotonic() > until:
                    raise ValueError("too long")
        return bytes(body)

    def _keep(self, key: tuple[str, ...], value: object, seconds: float) -> None:
        with self._lock:
            self._cache[key] = (self._clock() + seconds, value)
            self._cache.move_to_end(key)
            while len(self._cache) > CACHE:
                self._cache.popitem(last=False)

    def _rest(self) -> None:
        self._rests_until = self._clock() + KEPT_FAILURE


def read_week(body: bytes, units: Units) -> Week:
    """A forecast's JSON as a week.

    Raises:
        ValueError: it is not JSON, lacks something, or says what cannot be.
    """
    answer = _Forecast.model_validate_json(body)
    daily = answer.daily
    letter = "F" if units == "imperial" else "C"
    if not all(unit.endswith(letter) for unit in answer.daily_units.model_dump().values()):
        raise ValueError("the degrees are of another kind")
    if any(day - daily.time[0] != datetime.timedelta(days=i) for i, day in enumerate(daily.time)):
        raise ValueError("the days do not follow each other")
    rows = list(zip(daily.weather_code, daily.temperature_2m_min, daily.temperature_2m_max, strict=True))
    if any(code not in SKY or low > high for code, low, high in rows):
        raise ValueError("an unknown code, or a low above the high")
    days = tuple(Day(SKY[int(code)], round(low), round(high)) for code, low, high in rows)
    return Week(daily.time[0], days, answer.utc_offset_seconds)


def _until_midnight(week: Week) -> float:
    """Seconds to keep a forecast: at midnight, where it is for, its "today" is over."""
    return min(KEPT, 86400 - (time.time() + week.offset) % 86400)


def fold(text: str) -> str:
    """`text` for comparing names: lower case, no accents, no marks, no article in front."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()
    return " ".join(re.findall(r"\w+", plain)).removeprefix("the ")
