"""3 · What is worked out of the events that a question is about: how many, until when, when there is time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from adapterbot.facts import Answer
from adapterbot.knowledge.calendar.ics import Happening
from adapterbot.knowledge.calendar.question import Question
from adapterbot.knowledge.calendar.say import (
    beside,
    counted,
    day_of,
    days_of,
    enumerated,
    hours_of,
    length_of,
    minutes_as_time,
    named,
    spoken_time,
)
from adapterbot.knowledge.calendar.search import Window, windows
from adapterbot.language.dates import PARTS
from adapterbot.language.periods import Span

MOST_TOLD = 12  # events that are told one by one
MOST_GAPS = 7  # stretches of time whose gaps are told
ORDINAL = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth"}
MINUTE = timedelta(minutes=1)
Found = Sequence[Happening]


def answer(question: Question, found: Found, now: datetime) -> tuple[Answer | None, list[Happening]]:
    """What is told, and the events that it rests on; None where the events alone are the answer."""
    match question.asked:
        case "now" | "date":
            return _of_the_clock(question, now), []
        case "end" | "length" if found:
            tell = _end if question.asked == "end" else _length
            return tell(found[0], now), [found[0]]
        case "count":
            return _count(question, found, now), list(found[:MOST_TOLD])
        case "first" | "last" | "nth":
            return _in_order(question, found, now)
        case "free":
            return _free(question, found, now), list(found[:MOST_TOLD])
        case "gaps":
            return _gaps(question, found, now), list(found[:MOST_TOLD])
        case "list":
            return _list(question, found, now), list(found[:MOST_TOLD])
    return None, list(found)


def _told(asked: str, value: object, text: str) -> Answer:
    return Answer(asked, str(value), text[0].upper() + text[1:])


def _of_the_clock(question: Question, now: datetime) -> Answer:
    if question.asked == "now":
        return _told("now", f"{now:%H:%M}", f"It is {spoken_time(now)}.")
    day = question.spans[0].first if question.spans else now.date()
    is_now = "is" if day >= now.date() else "was"
    name = {0: "Today", 1: "Tomorrow", -1: "Yesterday"}.get((day - now.date()).days, "That")
    return _told("date", day, f"{name} {is_now} {day:%A}, {day.day} {day:%B %Y}.")


def _end(one: Happening, now: datetime) -> Answer:
    day = day_of(one.last, now.date())
    name = named(one, now.date())
    if one.all_day:
        return _told("end", one.last, f"{name} goes on until {day}.")
    if one.end == one.start:
        start = f"it starts at {spoken_time(one.start)} on {day}"
        return _told("end", "unknown", f"your calendar does not say when {name} ends; {start}.")
    ends = "ends" if one.end >= now else "ended"
    return _told("end", f"{one.end:%H:%M}", f"{name} {ends} at {spoken_time(one.end)} on {day}.")


def _length(one: Happening, now: datetime) -> Answer:
    name = named(one, now.date())
    minutes = int((one.end - one.start) / MINUTE)
    if not minutes:
        return _told("length", "unknown", f"your calendar does not say how long {name} is.")
    where = f"{hours_of(one)} on {day_of(one.start.date(), now.date())}"
    if one.all_day:
        where = days_of(Span(one.start.date(), one.last), now.date())
    takes = "takes" if one.end >= now else "took"
    return _told("length", minutes, f"{name} {takes} {length_of(minutes)}, {where}.")


def _scope(question: Question, now: datetime) -> str:
    """The days and hours that a question is about, in words."""
    stretches = windows(question, now)
    span = _span(question, stretches)
    if span is None:
        return ""
    said = days_of(span, now.date())
    if len(stretches) == 1 and (question.times or span.hours != (0, 24)):
        part = next((part for part, hours in PARTS.items() if hours == span.hours and not question.times), "")
        said += f" in the {part}" if part else f" {_between(stretches[0], question)}"
    return said


def _span(question: Question, stretches: Sequence[Window]) -> Span | None:
    spans = [span for span in question.spans if not span.instead]
    if spans:
        return Span(spans[0].first, max(span.last for span in spans), spans[0].hours)
    return Span(stretches[0][0].date(), stretches[0][0].date()) if stretches else None


def _between(stretch: Window, question: Question) -> str:
    first, last = (minutes_as_time(60 * moment.hour + moment.minute) for moment in stretch)
    bound = question.times[0].bound if question.times else "between"
    return {"at": f"at {first}", "after": f"after {first}", "before": f"before {last}"}.get(
        bound, f"between {first} and {last}"
    )


def _each(found: Found, now: datetime, several_days: bool) -> str:
    """The events, each with its hours, and with its day where there are several."""
    today = now.date()
    parts = [
        f"{named(h, today)} {hours_of(h)}" + (f" on {day_of(h.start.date(), today)}" if several_days else "")
        for h in found[:MOST_TOLD]
    ]
    return enumerated(parts) + (f", and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else "")


def _several_days(found: Found) -> bool:
    return len({h.start.date() for h in found}) > 1


def _nothing(question: Question, now: datetime) -> str:
    like = "nothing like that" if question.words else "nothing"
    return f"I see {like} in your calendar {_scope(question, now)}".rstrip() + "."


def _list(question: Question, found: Found, now: datetime) -> Answer:
    if not found:
        return _told("list", 0, _nothing(question, now))
    several = _several_days(found)
    told = _each(found, now, several or not question.spans)
    scope = _scope(question, now)
    there = ("there was", "there were") if stretches_over(question, now) else ("there is", "there are")
    if len(found) == 1:
        return _told("list", 1, f"{scope} {there[0]} one thing: {told}{beside(found[0], now.date())}.")
    return _told("list", len(found), f"{scope} {there[1]} {counted(len(found), 'thing')}: {told}.")


def stretches_over(question: Question, now: datetime) -> bool:
    """Whether all that is asked about has been."""
    return all(stretch[1] <= now for stretch in windows(question, now))


def _count(question: Question, found: Found, now: datetime) -> Answer:
    if not found:
        return _told("count", 0, _nothing(question, now).replace("I see nothing", "None: I see nothing", 1))
    there = "there is" if len(found) == 1 else "there are"
    scope = _scope(question, now) or "in the next days"
    told = _each(found, now, _several_days(found) or not question.spans)
    return _told("count", len(found), f"{there} {counted(len(found), 'such event')} {scope}: {told}.")


def _in_order(question: Question, found: Found, now: datetime) -> tuple[Answer, list[Happening]]:
    """The first, the last or the n-th of a day, by when it begins."""
    by_start = sorted(found, key=lambda h: h.start)
    timed = [h for h in by_start if not h.all_day] or by_start
    place = {"first": 0, "last": len(timed) - 1}.get(question.asked, question.nth - 1)
    if not timed or place >= len(timed):
        only = f"; there are {counted(len(timed), 'event')} in all" if timed else ""
        return _told(question.asked, 0, _nothing(question, now)[:-1] + only + "."), []
    one = timed[place]
    told = f"{named(one, now.date())} {hours_of(one)} on {day_of(one.start.date(), now.date())}"
    which = {"first": "first", "last": "last"}.get(
        question.asked, f"{ORDINAL.get(question.nth, question.nth)} in order"
    )
    return _told(question.asked, 1, f"the {which} is {told}."), [one]


def _free(question: Question, found: Found, now: datetime) -> Answer:
    scope = _scope(question, now)
    if not found:
        return _told("free", "yes", f"{scope} there is nothing in your calendar; that time is free.".lstrip())
    at_once = bool(question.times) and question.times[0].bound == "at"
    busy = "you are not free" if at_once else "you are not free all the time"
    return _told("free", "no", f"{scope} {busy}: there is {_each(found, now, _several_days(found))}.".lstrip())


def _gaps(question: Question, found: Found, now: datetime) -> Answer:
    """The stretches of the days asked for that no event takes up."""
    parts, values = list[str](), list[str]()
    stretches = windows(question, now)
    for stretch in stretches[:MOST_GAPS]:
        free = gaps(stretch, found)
        values += [_value(gap, stretch) for gap in free]
        told = [_gap(gap, stretch) for gap in free] or ["not at all"]
        parts.append(f"on {day_of(stretch[0].date(), now.date())} {enumerated(told)}")
    if not parts:
        return _told("gaps", "", "tell me the day, and I can say when you are free.")
    return _told("gaps", " ".join(values), f"you are free {'; '.join(parts)}.")


def gaps(stretch: Window, found: Found) -> list[Window]:
    """What of a stretch of time no event takes up."""
    free = list[Window]()
    start, until = stretch
    for happening in sorted(found, key=lambda h: h.start):
        if happening.start > start:
            free.append((start, min(happening.start, until)))
        start = max(start, happening.end)
    return [gap for gap in [*free, (start, until)] if gap[0] < gap[1]]


def _whole_day(gap: Window, stretch: Window) -> tuple[bool, bool]:
    """Whether a gap begins with the day, and whether it ends with it."""
    midnight = stretch[0].replace(hour=0, minute=0)
    return gap[0] == midnight, gap[1] >= midnight + timedelta(days=1)


def _value(gap: Window, stretch: Window) -> str:
    opens, closes = _whole_day(gap, stretch)
    return f"{'' if opens else f'{gap[0]:%H:%M}'}-{'' if closes else f'{gap[1]:%H:%M}'}"


def _gap(gap: Window, stretch: Window) -> str:
    opens, closes = _whole_day(gap, stretch)
    if opens and closes:
        return "all day"
    if opens:
        return f"before {spoken_time(gap[1])}"
    return f"after {spoken_time(gap[0])}" if closes else f"from {spoken_time(gap[0])} to {spoken_time(gap[1])}"
