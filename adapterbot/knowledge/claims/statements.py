"""3 · How a claim is worded: what is said without "is it true that", how often it is denied, and which limits it sets.

Sentence encoders hardly see a "not", a number or who is compared with whom, so these are read from the words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapterbot.language.words import STOP

SENTENCES = 8  # of one message that are looked at
LAYERS = 6  # of "so I heard that people say that ..." that are taken off
ENOUGH = 2  # content words that make a claim ("masks work"); a denial counts as one

MARKS = " ,.;:?!-"  # that may stand between a claim and what follows it
WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
NUMBER = re.compile(r"(?<![\w.,-])\d[\d.,]*(?![\w-])")
NOISE = re.compile(r"<[^<>]*>|\bhttps?://\S+|(?<!\w)@\w+|#")  # tags, addresses, @names
END = re.compile(r"(?<=[.!?])\s+|\n+|;|,? but\b|,(?= (?:and|so|because|while|though|although) )", re.IGNORECASE)
# Neither true nor false: open questions, what somebody does or wants, and advice.
NO_CLAIM = re.compile(
    r"(?:(?:what|who|whom|whose|when|where|which|why|how)(?:'s)?|(?:should|shall|must) (?:i|we)"
    r"|i(?:'m|'ve|'d|'ll)?(?! (?:can|can't|cannot|could|may|might|will|won't)\b)"
    r"|my \w+ (?:is|was|has|had|got|caught))\b",
    re.IGNORECASE,
)
ORDER = re.compile(r"(?:do not|don't|dont|never|stop|avoid)\b[^?]*$", re.IGNORECASE)
ASKED = re.compile(r"(?:is|are|do|does|did|can|could|wo|would|should|has|have|was|were)n't\b", re.IGNORECASE)
NAMES = re.compile(r"covid[- ]?(?:20)?19|sars[- ]?cov[- ]?2|2019[- ]ncov", re.IGNORECASE)  # their digits are no numbers
WITHOUT = re.compile(r"(?:\bwith|\band|&) no\b|\bwithout any\b", re.IGNORECASE)  # deny a noun, not the claim


def _any(lines: str) -> str:
    """A pattern that takes any of the lines; all blanks are single ones where it is used."""
    return "(?:" + "|".join(line.strip() for line in lines.splitlines() if line.strip()) + ")"


# What people put before and after a claim without changing it.
WHO = (
    r"(?:i|we|they|you|he|she|every(?:one|body)|(?:some )?people|some(?:one|body)?(?: \w+)?"
    r"|(?:my|the|an?) \w+(?: of mine| \w+)?)(?: (?:on|in) (?:the |my )?\w+(?: \w+)?)?"
)
SAYS = (
    r"(?:heard|read|saw|seen|said|says?|told \w+|tells \w+|thinks?|thought|believes?|claim(?:s|ed)?|insists?|swears?"
    r"|wonder|knows?|post(?:s|ed)|writes?|wrote|shows?)"
)
LEAD = re.compile(
    _any(
        rf"""
        (?:so|well|hey|hi|hello|ok|okay|um|but|and|also|because|apparently|seriously|please|now)|(?:yes|no)(?=,)
        i(?: want|'d like| would like) to know
        (?:can|could|would) (?:you|u) (?:please )?(?:check|verify|tell me|confirm)
        (?:please )?(?:fact[- ]?check|check|verify|claim)
        (?:if|whether|that|(?:this|the) (?:claim|statement|one)|this:|for me)
        (?:fact|myth) or (?:fact|fiction|myth)
        true or false|is (?:this|that) (?:true|real|a fact)(?: or (?:false|not|fake(?: news)?|a myth))?
        is(?:n't)? it (?:really |actually )?(?:true|a fact|right|correct|the case)(?: that)?
        it(?:'s| is) (?:really |actually )?(?:true|a fact|right|correct|the case) that
        is there any (?:truth|proof|evidence)(?: \w+)? (?:that|to the (?:claim|idea|rumou?r) that)
        (?:do|does|did|have) (?:you|anyone) (?:really )?(?:think|believe|know|heard?)(?: if| whether| that)?
        what (?:do you think )?(?:of|about) (?:the (?:claim|idea|story|rumou?r) )?that
        {WHO}(?:'ve| have| has| just| also| keeps?| once| always| even| really)* {SAYS}(?:(?: \w+){{0,2}} that)?
        i(?:'m| am) (?:pretty |quite )?(?:sure|certain|convinced|told)(?: that)?
        there is a (?:claim|rumou?r) that
        """
    )
    + r"(?:[ :,?]+|$)(?!not\b)",
    re.IGNORECASE,
)
TAIL = re.compile(
    f"[{MARKS}]"
    + _any(
        r"""
        (?:or )?is(?:n't)? (?:that|this|it) (?:really |actually |just )?(?:true|right|correct|so|a fact)(?: or not)?
        (?:or )?is (?:that|this|it) (?:true or )?(?:just )?(?:a )?(?:myth|false|fake(?: news)?|hoax|nonsense)
        (?:is|are|do|does|did|has|have|can|was|were)n't (?:it|they|that|he|she|we|you)
        right|correct|true|true or false|yes or no|or not|really|what do you think|do you agree
        (?:do|are) they|(?:does|is) it|(?:is there )?any truth (?:in|to) (?:that|this|it)
        i (?:heard|read|think|guess)|they say|look it up
        """
    )
    + "$",
    re.IGNORECASE,
)
# What denies a claim as a whole.
UNTRUE = (
    r"(?:(?:an?|all|just|simply|complete|total|big) )*"
    r"(?:myth|hoax|lie|false|untrue|wrong|nonsense|fake(?: news)?|rubbish|made[- ]up)"
)
# What denies and is no word of NEGATIVE, or only after an "is".
DENIAL = re.compile(
    r"\b(?:(?:is|are|was|were|be|it's|that's|its)(?: it| that| this)? (?:(?:an?|all|just|simply|complete|total|big) )*"
    r"(?:lie|false|wrong|rubbish|made[- ]up)|free (?:of|from)|little (?:evidence|proof|effect|use|benefit))\b",
    re.IGNORECASE,
)
DENIAL_LEAD = re.compile(
    _any(
        rf"""
        (?:it is|it's|its|is it|that's|it isn't)(?: just| not)* (?:{UNTRUE}|true|a fact)(?: to say)?(?: that)?
        (?:i|we) (?:don't|do not|dont) (?:think|believe)(?: that)?|(?:i|we) doubt(?: that)?
        there (?:is|'s|isn't) (?:no|any) (?:truth|proof|evidence)(?: \w+)? that
        (?:the )?(?:claim|idea|myth) that
        """
    )
    + " ",
    re.IGNORECASE,
)
DENIAL_TAIL = re.compile(rf" (?:(?:is|are|was) {UNTRUE}|(?:isn't|is not) true)$", re.IGNORECASE)
NEGATIVE = frozenset(
    WORD.findall(
        """not no never none nobody nothing neither cannot cant dont doesnt isnt arent wont didnt wasnt useless
        ineffective pointless worthless fails fail failed impossible unable debunked doubt deny denies denied disproved
        refuted myth hoax untrue nonsense fake"""
    )
)
# Two words from opposite sides deny each other as "not" does.
SIDES = tuple(
    (frozenset(one.split()), frozenset(other.split()))
    for one, other in (
        ("safe harmless", "dangerous harmful unsafe deadly toxic risky"),
        (
            "more higher raise raises increase increases rise rises worse faster deadlier better",
            "less fewer lower lowers reduce reduces decrease decreases fall falls milder slower slow slows slowed",
        ),
        ("strengthen strengthens boost boosts", "weaken weakens destroy destroys ruin ruins"),
        ("before", "after"),
        ("indoors", "outdoors"),
    )
)
# Claims with other limits are other claims.
LIMITS = {
    word: limit
    for limit, words in {
        "all": "all every everyone everybody always completely perfectly perfect complete totally total fully entirely",
        "only": "only just solely merely",
        "most": "most mostly mainly main major majority usually",
        "rare": "rare rarely uncommon seldom hardly",
        "common": "common",
        "unvaccinated": "unvaccinated",
        "danger": "safe harmless dangerous harmful unsafe toxic risky",
    }.items()
    for word in words.split()
}
STRENGTH = re.compile(
    r"\b(?:completely|totally|entirely|just) (?=useless|pointless|ineffective|worthless|an? )| at all\b", re.IGNORECASE
)
SPELT = {word: str(n) for n, word in enumerate(WORD.findall("two three four five six seven eight nine ten"), 2)}
SPELT |= {word: word for word in WORD.findall("half hundred thousand million billion")}
# Different words for one thing.
SAME = {
    word: group.split()[0]
    for group in (
        "covid coronavirus corona covid-19 covid19 sars-cov-2 virus disease ncov rona",
        "vaccine vaccines vaccination vaccinations vaccinated vaccinate vaccinates vaccinating"
        " jab jabs jabbed shot shots immunisation immunization inoculation",
        "child children kid kids pupils toddler toddlers",
        "baby babies infant infants newborn newborns",
        "mask masks facemask facemasks face-mask coverings",
        "old elderly older elders seniors",
        "cure cures cured curing treat treats treated treatment treatments heal heals remedy",
        "prevent prevents prevention protect protects protected protection avoid ward guard keep keeps",
        "kill kills killed killing destroy destroys",
        "catch catching infected infect infection infections infects contract contracted caught infectious",
        "reinfect reinfected reinfection reinfections",
        "spread spreads spreading transmit transmits transmitted transmission pass passed carry carries",
        "woman women female females",
        "man men male males",
        "lab laboratory labs laboratories",
        "death deaths die dies died dead dying",
        "deadly deadlier lethal severe dangerous serious",
        "help helps work works effective benefit beneficial",
        "hydroxychloroquine hcq",
        "flu influenza",
        "sterile sterilise sterilises sterilize sterilizes infertile infertility",
        "parcel parcels package packages",
        "harm harms harmful damage damages",
        "mosquito mosquitos mosquitoes",
    )
    for word in group.split()
}
ENDINGS = (("ingly", 4), ("ing", 4), ("ied", 3), ("ies", 3), ("ed", 4), ("es", 4), ("ly", 4), ("s", 3), ("e", 3))


@dataclass(frozen=True, slots=True)
class Statement:
    """One claim. `text` is what the encoder reads and `words` its content words as stems.

    `compared` are the content words before and after a "than".
    """

    text: str
    words: frozenset[str]
    denials: int
    numbers: frozenset[str]
    limits: frozenset[str]
    plain: frozenset[str]
    compared: tuple[frozenset[str], frozenset[str]]

    @property
    def negative(self) -> bool:
        """Two denials say what none does."""
        return self.denials % 2 == 1

    def denies(self, other: Statement) -> bool:
        """Whether the two, when they are about the same, say the opposite."""
        turns = [self.negative, other.negative, self._swaps(other)]
        for side in SIDES:
            mine, theirs = ([bool(s.plain & part) for part in side] for s in (self, other))
            turns.append(mine != theirs and any(mine) and any(theirs) and not (all(mine) or all(theirs)))
        return sum(turns) % 2 == 1

    def agrees(self, other: Statement) -> bool:
        """Whether the two have the same numbers and limits, and both compare or neither."""
        return (
            ("than" in self.plain) == ("than" in other.plain)
            and self.numbers == other.numbers
            and self.limits == other.limits
        )

    def _swaps(self, other: Statement) -> bool:
        (mine, my_than) = self.compared
        (theirs, their_than) = other.compared
        return bool(mine & their_than and my_than & theirs)


def statements(message: str) -> list[Statement]:
    """The claims in a message, in its order; none are questions that ask for more than yes or no."""
    sentences = [s for s in END.split(NOISE.sub(" ", message).replace("’", "'").strip()) if s.strip()]
    said = [read(s) for s in sentences[:SENTENCES]]
    return [s for s in said if s.words and len(s.words) + s.denials >= ENOUGH and not NO_CLAIM.match(s.text)]


def read(sentence: str) -> Statement:
    """One sentence as a claim."""
    text = _strip(_strip(" ".join(sentence.split()), LEAD, start=True), TAIL, start=False)
    text = STRENGTH.sub("", WITHOUT.sub("without", text))
    plain = [word.lower() for word in WORD.findall(text)]
    denials = sum(map(_negative, plain)) + len(DENIAL.findall(text))
    denials -= bool(ASKED.match(text) and sentence.rstrip().endswith("?"))  # "Aren't masks useless?" denies nothing
    inner = _strip(_strip(text, DENIAL_LEAD, start=True), DENIAL_TAIL, start=False).rstrip(" ?.!")
    before, _, after = inner.partition(" than ")
    return Statement(
        text=inner,
        words=content(inner),
        denials=denials,
        numbers=_numbers(text),
        limits=frozenset(LIMITS[word] for word in plain if word in LIMITS),
        plain=frozenset(plain),
        compared=(content(before), content(after)),
    )


def content(text: str) -> frozenset[str]:
    """The content words of a text as stems, synonyms as one; without the words by which it is denied or limited."""
    words = [word.removesuffix("'s") for word in WORD.findall(text.lower())]
    left_out = STOP | NEGATIVE | LIMITS.keys()
    return frozenset(stem(word) for word in words if word not in left_out and not word.endswith("n't"))


def stem(word: str) -> str:
    """A rough stem, the same for "cure" and "cures"."""
    if word in SAME:
        return SAME[word]
    for ending, least in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending in ("ied", "ies") else "")
            break
    return SAME.get(word, word)


def _numbers(text: str) -> frozenset[str]:
    text = NAMES.sub("covid", text)
    digits = {found.rstrip(".,").replace(",", "") for found in NUMBER.findall(text)}
    spelt = {word.lower().rstrip("s") for word in WORD.findall(text)} & SPELT.keys()
    return frozenset(digits | {SPELT[word] for word in spelt})


def _strip(text: str, pattern: re.Pattern[str], *, start: bool) -> str:
    """`text` without what the pattern finds at its start (or end), at most `LAYERS` times, while a claim is left."""
    for _ in range(LAYERS):
        text = text if start else text.rstrip(MARKS)
        match = pattern.match(text) if start else pattern.search(text)
        rest = (text[match.end() :] if start else text[: match.start()]) if match else ""
        if len(content(rest)) < ENOUGH and not (content(rest) and any(map(_negative, WORD.findall(rest.lower())))):
            break
        text = rest.strip()
    return text


def _negative(word: str) -> bool:
    return word in NEGATIVE or word.endswith("n't")
