"""3 · Claims: what a message plainly states or asks, as words that can be compared with those of a known phrasing.

Nothing here guesses what a negation, a hedge or a report makes of a claim. A few leads and tails that leave a claim as
it is are taken off ("is it true that ...?", "..., right?"), words that change nothing are left out, and a plain "does
not" is set apart. Every other word stays, in its order: who says more or less than a phrasing says something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

Words: TypeAlias = tuple[str, ...]

LAYERS = 6  # of "so I heard that it is true that ..." that are taken off
LONGEST = 300  # characters of a message that can be a plain statement
LEAST = 2  # words that make a claim ("masks work")

WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
PLAIN = re.compile(r"[\w\s.,:;!?'%&()-]*")  # other marks may say anything: an emoji, an arrow, "so-called" quotes
END = re.compile(r"(?<=[.!?;])\s+|\s*\n\s*")
QUOTES = ' \t\n"“”'


def _any(lines: str) -> str:
    """A pattern that takes any of the lines; all blanks are single ones where it is used."""
    return "(?:" + "|".join(line.strip() for line in lines.splitlines() if line.strip()) + ")"


# What people put before and after a claim without changing it. Nobody's opinion and no report is among them.
LEAD = re.compile(
    r"\A"
    + _any(
        r"""
        so|well|hey|hi|hello|ok|okay|um|and|but|please
        (?:is it|it is|it's|isn't it) (?:really |actually )?(?:true|a fact|correct|the case) that
        is it (?:really |actually )?true
        (?:true or false|fact or (?:fiction|myth)|fact[- ]?check)(?=\W)
        (?:please )?(?:can|could|would|will) (?:you|u) (?:please )?(?:check|verify|tell me|confirm|say) (?:if|whether)
        (?:please )?(?:check|verify|tell me) (?:if|whether)
        (?:please )?(?:check|verify) this(?: claim)?(?=:)
        (?:do|does) (?:you|anyone|anybody|somebody|someone) know (?:if|whether)
        i (?:want|would like) to know (?:if|whether)|i'd like to know (?:if|whether)
        i(?:'m| am| was)? wonder(?:ing)? (?:if|whether)
        i(?:'ve| have)?(?: just| also)? (?:heard|read)(?: somewhere| online| recently)?(?: that)?
        """
    )
    + r"[ :,?!.-]+",
    re.IGNORECASE,
)
TAIL = re.compile(
    r"(?:^|[ ,.;:?!-]*[,.;:?!-] *)"
    + _any(
        r"""
        (?:or )?is(?:n't)? (?:that|this|it) (?:really |actually )?(?:true|right|correct|so|a fact)(?: or not)?
        (?:is|are|do|does|did|has|have|can|was|were|will|would)n't (?:it|they|he|she|we|you)
        (?:is it )?true or false|fact or (?:fiction|myth)|yes or no|right|correct|true
        really|are you sure|why|i (?:heard|read)|please|thanks|thank you
        """
    )
    + "[ .?!]*$",
    re.IGNORECASE,
)

# Who asks whether what others say is so asks the same as who asks it at once.
ASKED_BACK = re.compile(r"\bis (?:that|this|it) (?:really |actually )?(?:true|right|correct|so|a fact)[ ?]*$", re.I)
REPORT = re.compile(
    r"\A(?:(?:my|an?|the) \w+|some(?:one|body)|people|they|he|she)(?: (?:on|in) (?:the )?\w+)?"
    r" (?:says?|said|claims?|claimed|thinks?|believes?|posted|wrote|told me)(?: that)? ",
    re.I,
)

# How one thing is written in several ways; applied in this order to text in lower case.
SPELLINGS = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (r"\b(do|does|did|is|are|was|were|have|has|had|could|would|should)n'?t\b", r"\1 not"),
        (r"\b(?:can'?t|cannot)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"(?<=\w)'(?:s|re|ve|ll)\b", ""),
        (r"\bcovid[- ]?(?:20)?19\b|\bsars[- ]?cov[- ]?2\b|\b2019[- ]ncov\b", "covid"),
        (
            r"(?<!\ba )(?<!\bone )(?<!\bnew )(?<!\bnovel )(?<!\brelated )\b(?:(?:the|new|novel) )*corona(?: ?virus)?\b",
            "covid",
        ),
        (r"\b(?:the )?covid virus\b|\bthe virus\b", "covid"),
        (r"\bcovid (?=vaccin|jab|shot|booster)", ""),
        (r" (?:against|from|for) covid[ .?!]*$", ""),
        (r"\bface[- ](?=masks?\b|coverings?\b)", ""),
        (r"\bwith no\b", "without"),
        (r"\bdeadlier\b", "more deadly"),
        (r"\b(\d+),(?=\d{3}\b)", r"\1"),
    )
)
# A plain denial of the whole: "does not", and no "should not", which is another advice than none.
DENIED = re.compile(r"\b(?:do|does|did|is|are|was|were|can|will|have|has|had)( not)\b")
ASKED = re.compile(
    r"(?:is|are|was|were|do|does|did|can|could|will|would|should|must|may|might|have|has|had|ca|wo)(?:n'?t)?\b", re.I
)
# A question of yes or no begins with one of these, where a statement has it further on.
MOVED = frozenset(["can", "could", "would", "should", "must", "may", "might", "have", "has", "had"])
# Left out: they tell when and about which one, never whether or where.
EMPTY = frozenset(WORD.findall("a an the is are was were be been being am do does did will really actually itself of"))
# Where a statement has one of these, its denial may be another claim than that it is untrue.
SCOPE = frozenset(
    WORD.findall(
        """no not never none nobody nothing neither nor without hardly rarely seldom only just even still any all every
        everyone everybody each most mostly many few some several both always often usually sometimes mainly completely
        if because since so when while unless until although though who which that whose where than as and or but"""
    )
)
# Different words for one thing, the first of each group stands for all.
SAME = {
    word: group.split()[0]
    for group in (
        "vaccine vaccines vaccination vaccinations vaccinated vaccinate jab jabs jabbed shot shots",
        "people person persons you we humans",
        "your our human their my people's",
        "child children kid kids",
        "baby babies infant infants newborn newborns",
        "mask masks facemask facemasks covering coverings",
        "woman women",
        "man men",
        "lab laboratory labs laboratories",
        "death deaths",
        "die dies died dying",
        "old elderly older",
        "get gets got getting catch catches caught catching contract contracts",
        "spread spreads spreading transmit transmits transmitted transmitting",
        "help helps helped work works effective",
        "cause causes caused causing",
        "change changes changing alter alters altering modify modifies",
        "reduce reduces lower lowers decrease decreases",
        "raise raises increase increases",
        "create creates created made engineered",
        "kill kills killing destroy destroys",
        "cure cures curing",
        "prevent prevents preventing",
        "protect protects protecting",
        "make makes making",
        "contain contains containing",
        "useless pointless worthless",
        "infertile sterile",
        "deadly lethal",
        "severe serious",
        "hydroxychloroquine hcq",
        "flu influenza",
        "mosquito mosquitos mosquitoes",
    )
    for word in group.split()
}
PLURAL = (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("ses", "s"), ("s", ""))
NO_PLURAL = ("ss", "us", "is")


@dataclass(frozen=True, slots=True)
class Statement:
    """One claim: its `text`, its `words` in order, and whether a plain "not", which is no word then, denies it."""

    text: str
    words: Words
    denied: bool = False

    @property
    def orders(self) -> list[Words]:
        """The words, and of a question that begins with "can" or the like those of the statements that it may ask."""
        first, *rest = self.words or ("",)
        if first not in MOVED:
            return [self.words]
        return [(*rest[:i], first, *rest[i:]) for i in range(len(rest) + 1)]

    @property
    def simple(self) -> bool:
        """Whether "can" and "not" say no more in it than by themselves: it has no quantifier and no clause."""
        return SCOPE.isdisjoint(self.words)


def read(claim: str) -> Statement:
    """A claim that stands by itself."""
    text = _spelt(claim)
    denials = list(DENIED.finditer(text))
    if len(denials) == 1:
        without = _words(text[: denials[0].start(1)] + text[denials[0].end(1) :])
        if SCOPE.isdisjoint(without):
            return Statement(claim, without, denied=True)
    return Statement(claim, _words(text))


def stated(message: str) -> Statement | None:
    """The one thing that a message plainly states or asks; None where it says more, or something else.

    What stands before a last question does not change what that asks; any other sentence may take a statement back.
    """
    if len(message) > LONGEST:
        return None
    *before, last = sentences(bare(message)) or [""]
    if before and not (last.endswith("?") or ASKED.match(last)):
        return None
    text = bare(last)
    if ASKED_BACK.search(message):
        text = REPORT.sub("", text)
    said = read(text)
    negated = said.denied or "not" in said.words
    if not PLAIN.fullmatch(text) or len(said.words) < LEAST or (negated and ASKED.match(text)):
        return None
    return said


def sentences(message: str) -> list[str]:
    """The sentences of a message."""
    return [part for part in END.split(message.strip()) if part.strip()]


def bare(text: str) -> str:
    """`text` without what people put before and after a claim; empty where there is nothing else."""
    text = text.replace("’", "'").strip()
    if len(text) > LONGEST:
        return text
    for _ in range(LAYERS):
        rest = TAIL.sub("", LEAD.sub("", text.strip(QUOTES)))
        if rest == text:
            break
        text = rest
    return text


def _spelt(text: str) -> str:
    text = " ".join(text.split()).replace("’", "'").lower()
    for pattern, said in SPELLINGS:
        text = pattern.sub(said, text)
    return text


def _words(text: str) -> Words:
    return tuple(_word(word) for word in WORD.findall(text) if word not in EMPTY)


def _word(word: str) -> str:
    """The first of its group, or its singular."""
    if word not in SAME and len(word) > 3 and not word.endswith(NO_PLURAL):
        ending, one = next((pair for pair in PLURAL if word.endswith(pair[0])), ("", ""))
        word = word.removesuffix(ending) + one
    return SAME.get(word, word)
