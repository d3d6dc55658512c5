"""3 · Which places a message may be about: by how they are said ("in oslo", "Will London ..."), not by a list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapterbot.language.words import CLITIC, STOP

MAX_TEXT = 2000  # characters of a message that are looked at
MAX_WORDS = 4  # of a place's name
SHORT = 4  # a message of so few words may be the bare name of a place: "oslo please"

TOKEN = re.compile(r"(?:[Ss]t|[Mm]t|[Ff]t)\.(?=\s)|[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\s\w]|\w")
SPLIT = re.compile(r"\w+")
NEAR = frozenset({"in", "near", "around", "visiting"})
TOWARDS = frozenset({"for", "at", "to", "from", "about", "over", "of", "with"})
CONNECTING = frozenset({"of", "upon", "on"})  # Isle of Man, Newcastle upon Tyne
LOOSE = frozenset({"nice"})  # stop words that are a place right after "in"
ENDING = frozenset({"city", "town", "village", "spring"})  # only behind another word: Kansas City, Silver Spring

TIME = frozenset(
    SPLIT.findall("""
    monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays
    sundays mon tue tues wed thu thur thurs fri sat sun january february march april june july august september october
    november december jan feb mar apr jun jul aug sept oct nov dec spring summer autumn fall winter today tonight
    tonite tomorrow tomorow tommorow tommorrow tmrw tmr yesterday morning afternoon evening night nights noon midday
    midnight dawn dusk day days daytime week weeks weekend weekends weekday month months year years hour hours minute
    minutes second seconds moment while time times date later early earlier late next last first rn atm asap current
    currently sunrise sunset christmas easter halloween holiday holidays vacation meantime beginning middle end
    """)
)
WEATHER = frozenset(
    SPLIT.findall("""
    weather weathr wheather wether forecast forecasts temperature temperatures temp temps degree degrees fahrenheit
    celsius rain rains raining rainy rained rainfall snow snows snowing snowy snowfall sunny sunshine cloud clouds
    cloudy clear sky skies wind winds windy breeze breezy fog foggy mist misty haze storm storms stormy thunder
    thunderstorm thunderstorms lightning hail hailing ice icy frost frosty freeze freezing frozen hot hotter hottest
    cold colder coldest warm warmer warmest mild chilly dry wet humid humidity drizzle drizzling blizzard hurricane
    tornado heat heatwave wave overcast high highs low lows climate umbrella conditions report outlook precipitation
    shower showers uv sleet dew pressure
    """)
)
FUNCTION = (STOP - LOOSE) | frozenset(
    SPLIT.findall("""
    am will there here anywhere nowhere place places city town village home outside inside outdoors indoors area
    region country warning warnings alert alerts pour pouring pls plz pleas thx hows whats wheres gonna wanna gotta
    can cant need needs needed tell show check give find search know wonder wondering expect expected expecting
    predicted planning plan plans going travel traveling travelling trip fly flying drive driving visit head heading
    leave leaving arrive arriving move moving live lives living stay staying based located mind meant asked question
    answer look looks looking feel feels stop start begin become turn chance chances likely probably possible
    possibly instead general fact case course person particular detail details advance total addition two three four
    five six seven eight nine ten
    """)
)
NEVER = FUNCTION | TIME | WEATHER | NEAR
# No name of a place begins with one of these, unless it has a capital or stands right after "in".
COMMON = LOOSE | frozenset(
    SPLIT.findall("""
    beach park garden game match picnic barbecue bbq wedding party concert parade festival race marathon hike hiking
    walk walking run running bike biking ride cycling swim swimming ski skiing sailing fishing camping golf tennis
    football work school class office bed bath bathroom kitchen house car bus train plane flight airport road roads
    street traffic mountains mountain hills sea coast river woods desert countryside downtown
    neighborhood jacket coat coats hat scarf gloves boots shorts sandals sunglasses sunscreen clothes sweater dress
    shoes layers plants flowers laundry washing lawn dog dogs cat cats kid kids children baby son daughter mother
    mom mum father dad brother sister wife husband friend friends family people man woman lunch dinner breakfast
    brunch bad better best worse worst easy hard happy sad tired busy ready safe
    dangerous perfect proper exact whole half full empty open closed right left correct wrong true false hey hiya
    morn mornin bro dude mate buddy sir madam man lady guys everyone folks update info information
    data number numbers percentage percent average normal usual wear bring pack take water close opening window windows
    stars moon sun light dark darkness shade sunburn cheers bye ciao later cool pizza coffee tea music movie book
    """)
)

# A place after one of these is not meant; what may stand between is LEADING.
NEGATES = re.compile(r"n['’]t$|^(?:not|forget|never|without|except)$")
INSTEAD = frozenset({("instead", "of"), ("rather", "than")})
LEADING = NEAR | TOWARDS | frozenset(SPLIT.findall("the mean meant care want wanted ask asked weather than"))

# What stands for a place so often that a gazetteer's idea of the letters would be wrong.
SHORTHAND = {
    "nyc": "New York",
    "la": "Los Angeles",
    "l.a": "Los Angeles",
    "sf": "San Francisco",
    "dc": "Washington",
    "philly": "Philadelphia",
    "vegas": "Las Vegas",
    "frisco": "San Francisco",
    "nola": "New Orleans",
}


@dataclass(frozen=True, slots=True)
class Mention:
    """A place that a message may name. `within` stood after it and may be its state or country ("Paris, Texas").

    `sure`: the way it was said leaves little doubt that it is a place ("in oslo", "to Rome").
    """

    name: str
    within: str = ""
    sure: bool = False

    def readings(self) -> Iterator[tuple[str, str]]:
        """(name, within), the whole name first: "Cambridge England" may be Cambridge within England."""
        words = self.name.split()
        yield SHORTHAND.get(self.name.lower(), self.name), self.within
        for size in range(len(words) - 1, 0, -1):
            yield " ".join(words[:size]), " ".join(words[size:])


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    base: str  # lower case, without 's and the like; a mark is its own base
    opens: bool  # a capital here says nothing: it starts a sentence
    negates: bool = False  # "not", "don't" and the like

    @property
    def word(self) -> bool:
        return self.base[:1].isalpha()

    @property
    def named(self) -> bool:
        """A capital inside a sentence."""
        return self.text[0].isupper() and not self.opens

    def may_begin(self, after_near: bool = False) -> bool:
        """Whether a name may begin with this word."""
        return self.may_follow() and (self.named or after_near or self.base not in COMMON) and self.base not in NEVER

    def may_follow(self) -> bool:
        """Whether a name may go on with this word."""
        parts = {self.base, *self.base.split("-")}
        return self.word and (self.base in ENDING or not (parts & TIME or self.base in NEVER))


def named_place(text: str) -> Mention:
    """A place that somebody entered as such: "Oslo" or "Paris, Texas"."""
    name, _, within = (" ".join(part.split()) for part in text[:MAX_TEXT].partition(","))
    return Mention(name, within, sure=True)


def mentions(text: str) -> list[Mention]:
    """The places that `text` may name and does not turn down, the likeliest first."""
    return _mentions(text)[0]


def turned_down(text: str) -> list[Mention]:
    """The places that `text` names to say that they are not meant: "not Berlin"."""
    return _mentions(text)[1]


def _mentions(text: str) -> tuple[list[Mention], list[Mention]]:
    """Those that are meant, and those that are not."""
    text = text[:MAX_TEXT]
    tokens = _tokens(text.lower() if text.isupper() else text)
    runs = list(_runs(tokens))
    gone = {at: end for at, end in runs if _denial(tokens, at) is not None}
    left = sum(token.word for token in tokens) - sum(end - (_denial(tokens, at) or 0) for at, end in gone.items())
    found = list[tuple[int, Mention]]()
    denied = list[Mention]()
    for at, end in runs:
        name = _name(tokens, at, end)
        within = _within(tokens, end)
        doubt = min(_doubt(tokens, at, end, left <= SHORT), 2 if within else 4)
        if at in gone:
            denied.append(Mention(name, within, sure=True))
        elif doubt < 4 and len(name) > 1:
            found.append((doubt, Mention(name, within, sure=doubt < 2)))
    return list(dict.fromkeys(mention for _, mention in sorted(found, key=lambda pair: pair[0]))), denied


def _runs(tokens: Sequence[_Token]) -> Iterator[tuple[int, int]]:
    """Where the names begin and end."""
    at = 0
    while at < len(tokens):
        end = _run(tokens, at)
        if end > at:
            yield at, end
        at = max(end, at + 1)


def _tokens(text: str) -> list[_Token]:
    tokens = list[_Token]()
    opens = True
    for found in TOKEN.findall(text):
        base = CLITIC.sub("", found.lower().rstrip("."))
        negates = bool(NEGATES.search(found.lower()))
        tokens.append(_Token(found[: len(base)] or found, base or found, opens, negates))
        opens = found in ".!?:;" if not found[0].isalpha() else False
    return tokens


def _denial(tokens: Sequence[_Token], start: int) -> int | None:
    """Where the "not" or "instead of" is that turns a name down, with nothing but LEADING between; None without one."""
    at = start - 1
    while at >= 0 and tokens[at].base in LEADING and not tokens[at].negates:
        at -= 1
    if at >= 0 and (tokens[at].negates or (tokens[at].base, tokens[at + 1].base) in INSTEAD):
        return at
    return None


def _run(tokens: Sequence[_Token], start: int) -> int:
    """Where the name that begins at `start` ends; `start` itself when none does."""
    end = start
    while end < len(tokens) and end - start < MAX_WORDS:
        joins = end > start and tokens[end].base in CONNECTING and _joins(tokens, end)
        first = end == start and tokens[end].may_begin(_before(tokens, start) in NEAR)
        if not (joins or first or (end > start and tokens[end].may_follow())):
            break
        if end > start and tokens[end - 1].named and not (joins or tokens[end].named) and _short_form(tokens, end):
            break
        end += 1
    return end


def _joins(tokens: Sequence[_Token], at: int) -> bool:
    """Whether the "of" at `at` stands inside a name: names on both sides, alike in their capitals."""
    behind = tokens[at + 1] if at + 1 < len(tokens) else None
    return behind is not None and behind.may_begin() and behind.text[0].isupper() == tokens[at - 1].text[0].isupper()


def _short_form(tokens: Sequence[_Token], at: int) -> bool:
    """Whether a word in lower case after a capital leaves the name ("Oslo right", but not "Rio de Janeiro")."""
    behind = tokens[at + 1] if at + 1 < len(tokens) else None
    return behind is None or not behind.named


def _before(tokens: Sequence[_Token], at: int) -> str:
    """The word in front of `at`, an article skipped; empty at a mark and at the start."""
    if at and tokens[at - 1].base == "the":
        at -= 1
    return tokens[at - 1].base if at and tokens[at - 1].word else ""


def _doubt(tokens: Sequence[_Token], start: int, end: int, short: bool) -> int:
    """0 and 1: a place as it seems; 2: a name or what stands beside "weather"; 3: a short message; 4: hardly."""
    first = tokens[start]
    before = _before(tokens, start)
    article = start > 0 and tokens[start - 1].base == "the"
    capital = any(token.named for token in tokens[start:end])
    if before in NEAR:
        return 0 if capital or (first.base not in COMMON and not article) else 2
    if capital:
        return 1 if before in TOWARDS else 2
    if article:
        return 4
    beside = {before, tokens[end].base if end < len(tokens) else ""}
    if before in TOWARDS or beside & {"weather", "forecast", "temperature", "temp"}:
        return 2
    return 3 if short else 4


def _name(tokens: Sequence[_Token], start: int, end: int) -> str:
    """The words from `start` to `end`, with an article in front ("the hague")."""
    if start and tokens[start - 1].base == "the":
        start -= 1
    return " ".join(token.text for token in tokens[start:end])


def _within(tokens: Sequence[_Token], end: int) -> str:
    """What follows a comma at `end`: "Texas", "TX", or nothing."""
    if end + 1 >= len(tokens) or tokens[end].text != ",":
        return ""
    state = tokens[end + 1].text
    if len(state) == 2 and state.isupper():  # OR, IN and ME are states here
        return state
    return _name(tokens, end + 1, _run(tokens, end + 1)) if tokens[end + 1].may_begin() else ""
