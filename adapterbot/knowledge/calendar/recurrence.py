"""3 · Events that repeat, expanded at a bounded cost however long ago they began and whether they ever come again.

`recurring_ical_events` (over dateutil's rrule) goes through a rule from its first day on, and through 8,000 years where
no day fits it. So a rule is first tried on years that end with the calendar's last, one that fits none is dropped, and
the others begin anew shortly before the days that are asked for, in step with how they began.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from adapterbot.language.dates import listed

DAY = timedelta(days=1)
# around today: what is kept ready, since most questions are about it
BACK = 400 * DAY
AHEAD = 800 * DAY
BEFORE = 3 * DAY  # of the days asked for, and the length of the event before those, is where a rule begins anew
# In 28 years each day of the year falls on each weekday; no century without a leap day is among these.
TRIED = date(MAXYEAR - 28, 1, 1)
DAYS = {"DAILY": 1, "WEEKLY": 7}
MONTHS = {"MONTHLY": 1, "YEARLY": 12}
FILTERS = tuple(listed("BYMONTH BYMONTHDAY BYYEARDAY BYWEEKNO BYDAY"))
MOST_COUNTED = 3_000  # occurrences of a rule with COUNT
END = datetime(2200, 1, 1)


class Unfolding:
    """The occurrences of one event that repeats and its exceptions; any thread may ask for them."""

    def __init__(self, events: Sequence[Any], today: date) -> None:
        """Raises whatever the libraries stumble over in rules that are not valid."""
        self._events = [_settled(event) for event in events]
        self._first = today - BACK
        self._last = today + AHEAD
        self._near = self._from(self._first)

    def between(self, start: datetime, stop: datetime) -> Sequence[Any]:
        """The events between two moments, each with its own DTSTART, in the time zone of the event."""
        near = self._first <= start.date() and stop.date() <= self._last
        found: Sequence[Any] = (self._near if near else self._from(start.date())).between(start, stop)
        return found

    def _from(self, day: date) -> Any:
        import icalendar
        import recurring_ical_events

        calendar = icalendar.Calendar()
        for event in self._events:
            calendar.add_component(_begun_anew(event, day - BEFORE))
        return recurring_ical_events.of(calendar)


def _settled(event: Any) -> Any:
    """The event with rules that come true after its first day, and that end by a day instead of by a number.

    Raises:
        ValueError: it has several rules and began too long ago to go through them, or repeats too often by number.
    """
    rules = _rules(event)
    if not rules:
        return event
    value = event["DTSTART"].dt
    start = _wall(value)
    if len(rules) > 1 and start.year < date.today().year - 10:
        raise ValueError(f"it has several rules since {start.year}")
    kept = [settled for rule in rules if (settled := _settled_rule(rule, start, value))]
    settled = event.copy()
    del settled["RRULE"]
    for rule in kept:
        settled.add("RRULE", rule)
    return settled


def _settled_rule(rule: Any, start: datetime, value: date) -> Any:
    """`rule`, or an equal one that is cheaper to go through; None where it never comes true."""
    rule = rule.copy()
    if _filtered_days(rule):  # every day is looked at; a year at once gives the same days much faster
        rule["FREQ"] = ["YEARLY"]
        if not any(rule.get(key) for key in FILTERS if key != "BYMONTH"):
            rule["BYMONTHDAY"] = list(range(1, 32))
    endless = rule.copy()
    count = endless.pop("COUNT", [None])[0]
    endless.pop("UNTIL", None)
    if not _comes_true(endless.to_ical().decode(), start, _freq(rule), _interval(rule)):
        return None
    if count is None:
        return rule
    last = _last(endless.to_ical().decode(), start, int(count))
    endless["UNTIL"] = [_until(value, last)]
    return endless


def _until(value: date, last: datetime) -> date:
    """The last occurrence in the form that a rule of an event with the start `value` has to have it in."""
    if not isinstance(value, datetime):
        return last.date()
    return last if value.tzinfo is None else _at(value, last).astimezone(UTC)


def _filtered_days(rule: Any) -> bool:
    plain = _freq(rule) == "DAILY" and _interval(rule) == 1 and not rule.get("BYSETPOS")
    return plain and any(rule.get(key) for key in FILTERS)


@lru_cache(maxsize=4096)
def _comes_true(rule: str, start: datetime, freq: str, interval: int) -> bool:
    """Whether any day from `start` on fits the rule: tried on the calendar's last 28 years, which soon end."""
    from dateutil.rrule import rrulestr

    begin = _in_step(start.date(), freq, interval, TRIED)
    with suppress(OverflowError, ValueError):  # a week or a month that leads beyond the calendar
        found = next(iter(rrulestr(rule, dtstart=datetime.combine(begin, start.time()))), None)
        return found is not None
    return False


@lru_cache(maxsize=4096)
def _last(rule: str, start: datetime, count: int) -> datetime:
    """When a rule that ends after `count` occurrences has its last; raises ValueError for too many of them."""
    from dateutil.rrule import rrulestr

    if count > MOST_COUNTED:
        raise ValueError(f"COUNT above {MOST_COUNTED:,}")
    last = start
    for number, last in enumerate(rrulestr(rule, dtstart=start), 1):
        if number >= count or last > END:
            break
    return last


def _begun_anew(event: Any, day: date) -> Any:
    """The event as if it had begun on the last day up to `day` that is in step with its first."""
    rules = _rules(event)
    if len(rules) != 1:
        return event
    value = event["DTSTART"].dt
    first = value.date() if isinstance(value, datetime) else value
    begin = _in_step(first, _freq(rules[0]), _interval(rules[0]), day - _length(event))
    if begin == first:
        return event
    from icalendar.prop import vDDDTypes

    anew = event.copy()
    for key in ("DTSTART", "DTEND"):
        if key in event:
            anew[key] = vDDDTypes(_later(event[key].dt, begin - first))
    return anew


def _in_step(first: date, freq: str, interval: int, day: date) -> date:
    """The last day up to `day` that is a whole number of intervals after `first`; `first` itself where it is later."""
    if day <= first:
        return first
    if freq in DAYS:
        step = DAYS[freq] * interval
        return first + (day - first).days // step * step * DAY
    step = MONTHS[freq] * interval
    steps = ((day.year - first.year) * 12 + day.month - first.month) // step
    for number in range(steps, 0, -1):  # the 31st, or the 29th of February, is not in all of them
        year, month = divmod(first.year * 12 + first.month - 1 + number * step, 12)
        with suppress(ValueError):
            found = date(year, month + 1, first.day)
            if found <= day:
                return found
    return first


def _length(event: Any) -> timedelta:
    if "DURATION" in event:
        length: timedelta = event["DURATION"].dt
        return length
    return _wall(event["DTEND"].dt) - _wall(event["DTSTART"].dt) if "DTEND" in event else DAY


def _later(value: date, by: timedelta) -> date:
    """`value` by some days later, at the same time on the clock of its zone."""
    return _at(value, _wall(value) + by) if isinstance(value, datetime) else value + by


def _at(value: datetime, wall: datetime) -> datetime:
    """The moment when the clock of `value`'s zone shows `wall`."""
    localize = getattr(value.tzinfo, "localize", None)  # of pytz, where each offset of a zone is a zone of its own
    moment: datetime = localize(wall) if localize else wall.replace(tzinfo=value.tzinfo)
    return moment


def _wall(value: date) -> datetime:
    """A start as the clock of its zone shows it."""
    return value.replace(tzinfo=None) if isinstance(value, datetime) else datetime.combine(value, datetime.min.time())


def _rules(event: Any) -> list[Any]:
    rules = event.get("RRULE", [])
    return rules if isinstance(rules, list) else [rules]


def _freq(rule: Any) -> str:
    return str(rule["FREQ"][0]).upper()


def _interval(rule: Any) -> int:
    return int(rule.get("INTERVAL", [1])[0])
