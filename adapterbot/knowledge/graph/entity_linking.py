"""3 · Which things of a graph a text names: its word n-grams are looked up in a table of normalised names.

A name of everyday words ("It", "Up", "Heat") needs a sign that it is one: capitals inside a sentence, quotation
marks, or a word such as 'film' next to it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adapterbot.knowledge.graph.relations import GENRE, PERSON, media
from adapterbot.language.words import STOP

LONGEST = 8  # words of a name that is looked for
MOST_WORDS = 300  # of a text that are looked at
FULL, SHORT, ALIAS, SURNAME = range(4)  # how a name stands for a thing
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
BRACKET = re.compile(r"\s*\([^()]*\)(?:\s*#\d+)?\s*$")
ARTICLE = re.compile(r"^(?:the|a|an)\s+(?=\w)", re.IGNORECASE)
AFTER_NAME = frozenset({"jr", "sr", "ii", "iii", "iv"})
SENTENCE_END = re.compile(r"[.!?…:\n][\"'”’)]*\s*[\"'“‘(]*$")
OPEN = "\"'“‘«*_"
CLOSE = "\"'”’»*_"
NOUNS = frozenset(
    WORD.findall("""
    film films movie movies flick book books novel novels song songs band bands album albums track
    singer series saga musical comic team club author director actor actress
    """)
)
NAMING = frozenset(WORD.findall("called named titled entitled the is by"))  # may stand between such a noun and the name
SMALL = frozenset(WORD.findall("a an and at by for from in of on or the to with"))  # without capitals in titles
BEFORE_YEAR = frozenset(WORD.findall("in from of since during year before after around"))
VERBS = frozenset(
    WORD.findall("""
    directed directs director wrote written author starred starring stars sang sings sung recorded covered
    soundtrack sequel genre cast
    """)
)
# Words that are also titles; in lower case and by themselves they are just words.
EVERYDAY = STOP | frozenset(
    WORD.findall("""
    baker bell bush carpenter cook cooper cruise ford hall hook hunter lamb plant potter walker
    action adventure air airplane album alien all amazing angel animal animation arrival art artist autumn avatar
    babe baby back bad ball ballad battle beach beautiful beauty believe beloved big biography bird birds birthday
    black blood blue blues boat body book born boston box boy boys brave brazil bread bridge bright brother brothers
    brown business butter candy captain car cars cash castle cat catch cats chance change chicago child children
    chocolate christmas circle circus city class classic clean clock cloud clouds club clue coach coast coffee cold
    color colour company contact country crash crazy cream crime cross crown cut dance dancing dark darkness
    daughter day days dead death deep desert diamonds dinner documentary dog dogs dollar door doors down dragon
    drama dream dreams drive driver eagles earth east easy eight end enemy england europe evening evil eye eyes fall
    family fast father fear feel fences fever field fight film fire fireworks first fish five flight flower flowers
    fly food football forest four free freedom friday friend friends frozen fury future game games garden gate
    genesis genius ghost giant giants girl girls glass goal gold golden gone gravity gray green grey ground group
    guest half halo hand hands happy hard head heart hearts heat heaven help hero heroes high history hit hitch
    holes holiday home honey hope horizon horse hot hotel hour hours house human hunger hunt hurt ice image imagine
    independence inside island jazz job joker journey jump jungle kansas kid kids kill killers king kings kiss knife
    lady lake land last late law leave left letter letters level lie life light lights lion little live living
    lonely long lost low luck machine magic man map march mask master match matrix men metal mice midnight milk mind
    minutes mirror misery miss mission model mom moment money monster moon moonlight morning mother mountain mouse
    movie murder music mystery name nation nature network new news night nightmare nine noah nobody north notebook
    number oasis ocean old one orange order outside page pain paint paper parents paris park part party past pay
    peace people perfect phone photograph piano picture pink pirates place planet play player poet poetry poison
    police pop prayer present prince princess problem psycho purple queen question quiet rain rainbow ray reader red
    rent rest return rich ride ring rings rise river road rock rocky roll romance room roots rose royals rules run
    rush safe sand saturday saw school science scream sea search second secret sense september seven shadow shape
    shine ship shoes short show sick side sign signs silence silver simple sing single sister sisters six skin sky
    sleep slow small smile smoke smooth snatch snow social soldier solo somebody son song soul sound south space
    speed spirit split spotlight spring star stars station stone stones storm story strange stranger street strong
    style suffer summer sun sunday sunshine superstar sweet swing table talk tea team ten tennis thief thing three
    thriller ticket tiger time titans today tommy tonight touch town toy toys traffic train trip true trust truth
    twelve twilight twins two umbrella up village violence vision visit voice wait walk wall war watch water waves
    way weather wedding week white wicked wild win wind window wings winter wish witness wolf woman women wonder
    wood word words work world wrong year years yellow yesterday young zone
    """)
)
EVERYDAY -= {"thriller", "jazz", "blues", "animation", "documentary", "mystery"}  # kinds of work that people ask for


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing of the graph. `degree` is how many triples it is in, `how` by which kind of name it was found."""

    id: int
    name: str
    kind: str
    degree: int
    how: int = FULL


@dataclass(frozen=True, slots=True)
class Mention:
    """Words `start` to `end` of a text that name something; several things may have one name."""

    start: int
    end: int
    entities: tuple[Entity, ...]


class Form(NamedTuple):
    """A key to look for; in the singular ("comedies": comedy) only kinds of work and sport are meant."""

    key: str
    genres_only: bool = False


Lookup = Callable[[Sequence[str]], Mapping[str, Sequence[Entity]]]


def words_of(text: str) -> list[re.Match[str]]:
    """The first words of a text."""
    found = WORD.finditer(text)
    return [word for word, _ in zip(found, range(MOST_WORDS), strict=False)]


def plain(word: str) -> str:
    """A word in lower case without accents and apostrophes."""
    parts = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c) and c not in "'’")


def key_of(words: Iterable[str]) -> str:
    """Plain words joined; single letters in a row become one word, so that J. K., J.K. and JK agree."""
    key = ""
    single = False
    for word in words:
        key += word if not key or (single and len(word) == 1) else f" {word}"
        single = len(word) == 1
    return key


def keys_of_name(name: str, kind: str) -> dict[str, int]:
    """The keys under which a name is found, each with how (FULL, SHORT, SURNAME)."""
    short = BRACKET.sub("", name)
    keys = {key: SHORT for n in (short, ARTICLE.sub("", short), ARTICLE.sub("", name)) if (key := _key(n))}
    last = _key(short.split()[-1]) if kind == PERSON and len(short.split()) > 1 else ""
    if len(last) > 2 and last not in AFTER_NAME:
        keys.setdefault(last, SURNAME)
    return keys | ({_key(name): FULL} if _key(name) else {})


def _key(name: str) -> str:
    return key_of(plain(word[0]) for word in words_of(name.replace("&", " and ")))


def mentions(text: str, lookup: Lookup) -> list[Mention]:
    """What `text` names, in its order: the longest name first, and no word belongs to two names."""
    text = text.replace("&", " and ")
    words = words_of(text)
    text = text[: words[-1].end() + 2] if words else ""  # a pasted page is not read to its end
    keys = [plain(word[0]) for word in words]
    spans = [(s, e) for s in range(len(words)) for e in range(s + 1, min(s + LONGEST, len(words)) + 1)]
    tried = {span: _forms(keys[span[0] : span[1]], words[span[1] - 1][0]) for span in spans}
    found = lookup(list({form.key for forms in tried.values() for form in forms}))
    taken = set[int]()
    kept = list[Mention]()
    for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        things = _things(tried[start, end], found)
        if things and not taken & set(range(start, end)):
            shown = _shown(text, words, keys, start, end)
            sure = tuple(
                e
                for e in things
                if shown or not _needs_sign(keys[start:end], e, keys) or _beside_noun(text, words, keys, start, end, e)
            )
            if sure:
                taken |= set(range(start, end))
                kept.append(Mention(start, end, sure))
    return sorted(kept, key=lambda mention: mention.start)


def _forms(keys: Sequence[str], last: str) -> list[Form]:
    """The key of some words, and the keys without a possessive s or in the singular."""
    forms = [Form(key_of(keys))]
    if last.lower().endswith(("'s", "’s")):
        forms.append(Form(key_of([*keys[:-1], plain(last[:-2])])))
    elif len(keys[-1]) > 4 and keys[-1].endswith("s"):
        singular = keys[-1][:-3] + "y" if keys[-1].endswith("ies") else keys[-1][:-1]
        forms.append(Form(key_of([*keys[:-1], singular]), genres_only=True))
    return forms


def _things(forms: Sequence[Form], found: Mapping[str, Sequence[Entity]]) -> list[Entity]:
    for form in forms:
        things = [e for e in found.get(form.key, ()) if e.kind == GENRE or not form.genres_only]
        if things:
            return things
    return []


def _needs_sign(keys: Sequence[str], entity: Entity, message: Sequence[str]) -> bool:
    """Whether this name could be just words here."""
    spoken_of = bool(VERBS & set(message))
    if len(keys) == 1 and keys[0].isdigit():
        return not (spoken_of or entity.kind in media(message)) or entity.kind == ""
    if len(keys) == 1 and (len(keys[0]) == 1 or keys[0] in STOP):
        return True
    if len(keys) > 3 or any(not _everyday(key) for key in keys):
        return False
    return not (spoken_of or (entity.kind == GENRE and NOUNS & set(message)))


def _everyday(key: str) -> bool:
    return key in EVERYDAY or (key.endswith("s") and key[:-1] in EVERYDAY)


def _shown(text: str, words: Sequence[re.Match[str]], keys: Sequence[str], start: int, end: int) -> bool:
    """Whether quotation marks or capitals show that words `start` to `end` are a name."""
    first = words[start]
    last = words[end - 1]
    before = text[: first.start()]
    after = text[last.end() :]
    if before[-1:] in tuple(OPEN) and after[:1] in tuple(CLOSE):
        return True
    inner = [w for w in words[start:end] if w[0].lower() not in SMALL or w is first]
    others = [*words[:start], *words[end:]]
    mixed = not others or any(w[0][0].islower() for w in others)  # no heading, nobody who shouts
    if not mixed or keys[start:end] == ["i"] or not all(w[0][0].isupper() for w in inner):
        return False
    begins = not before.strip() or bool(SENTENCE_END.search(before))
    return not begins or len(inner) > 1


def _beside_noun(
    text: str, words: Sequence[re.Match[str]], keys: Sequence[str], start: int, end: int, entity: Entity
) -> bool:
    """'the film up', 'the film called up?', 'heat the movie', 'from 1994'; but not 'her film' or 'the film it is'."""
    if keys[start].isdigit() and start and keys[start - 1] in BEFORE_YEAR:
        return len(keys[start]) == 4
    after = text[words[end - 1].end() :]
    closed = not after.strip() or not after[:1].isspace()
    pronoun = end - start == 1 and keys[start] in STOP
    earlier = next((key for key in reversed(keys[:start]) if key not in NAMING), "")
    later = next((key for key in keys[end:] if key != "the"), "")
    return (_goes_with(earlier, entity) and (not pronoun or closed)) or (
        _goes_with(later, entity) and (not pronoun or keys[start - 1 : start] == ["the"])
    )


def _goes_with(noun: str, entity: Entity) -> bool:
    """Whether such a word may stand beside this entity's name: 'song' beside a film's does not make it a name."""
    kinds = media([noun])
    return noun in NOUNS and (not kinds or not entity.kind or entity.kind in kinds)
