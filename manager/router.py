"""2 · The dialogue manager: which skill answers this message, and why.

The classifier gives every skill a calibrated probability. The best skill answers if its probability reaches the
threshold and is clear of the second by the margin; otherwise the fallback `chitchat` does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapterbot.errors import AdapterbotError, MissingPartError, WeightsError, kept_to
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.manager.classifier import CLASSIFIER, SPAN, Classifier, features, load_classifier, read_settings
from adapterbot.manager.encoder import DIALOGUE, WEIGHTS, Encoder, Similarity, load_encoder, plain
from adapterbot.manager.ranker import RANKER, Ranker, load_ranker, trained_on
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import FALLBACK, SkillSpec
from adapterbot.turn import Choice, Evidence

# A skill that the classifier never saw is chosen only for messages that are nearly one of its spec's examples: below
# the first cosine it scores nothing, from the second on everything.
NEAR = 0.60
SAME = 0.85
SURE = 0.98  # a manager that is so sure goes before evidence that is not STRONG
STRONG = 0.7
GONE = "backbone"  # the encoder of earlier versions that read a backbone's states


@dataclass(slots=True)
class Manager:
    """A classifier, its encoder, and the phrases of skills that came after it was trained."""

    classifier: Classifier
    encoder: Encoder
    phrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranker: Ranker | None = None
    sentences: Similarity = field(init=False)  # of meaning alone, whatever is said before or after
    _remembering: Similarity = field(init=False)

    def __post_init__(self) -> None:
        self._remembering = Similarity(self.encoder)
        unread = plain(self.encoder)
        self.sentences = self._remembering if unread is self.encoder else Similarity(unread)

    @classmethod
    def load(cls, home: Home) -> Manager:
        """The manager that the user trained, else the one that ships.

        Raises:
            WeightsError: a file is damaged, or the user's classifier was trained on another encoder than is there.
            MissingPartError: MiniLM is not installed.
        """
        own = home.manager / CLASSIFIER
        path = own if own.is_file() else WEIGHTS / CLASSIFIER
        return cls._read(path, _encoder_of(path), home)

    @classmethod
    def sound(cls, home: Home) -> Manager | None:
        """As `load`, but None for one that is damaged or from an earlier version: for who can do without."""
        return cls.read(home)[0]

    @classmethod
    def read(cls, home: Home) -> tuple[Manager | None, str]:
        """As `load`; None and what is wrong, in one line, for one that cannot be loaded for whatever reason."""
        try:
            with kept_to("the manager", WeightsError):
                return cls.load(home), ""
        except AdapterbotError as error:
            return None, str(error)

    @classmethod
    def _read(cls, path: Path, encoder: Encoder, home: Home) -> Manager:
        classifier = load_classifier(path, encoder)
        folders = SkillFolders(home)
        new = [name for name in folders.names() if name not in classifier.settings.classes]
        specs = [spec for name in new if (spec := _sound(folders, name))]
        phrases = {s.name: s.routing.examples for s in specs if s.routing.auto}
        manager = cls(classifier, encoder, phrases)
        manager.ranker = _ranker(home, manager._remembering)
        return manager

    @property
    def classes(self) -> tuple[str, ...]:
        """The skills that the classifier was trained on."""
        return self.classifier.settings.classes

    def pick(
        self, message: str, history: History, routable: Sequence[str], known: Mapping[str, Evidence] | None = None
    ) -> Choice:
        """The skill among `routable` that should answer `message`, said after `history`; scores for all of them.

        `known` is what the skills' sources say of the message. What is the user's own decides, and so does what only
        one source knows.
        """
        if not message.strip() or not routable:
            why = "the message is empty" if routable else "no skill may be chosen"
            return Choice(FALLBACK, dict.fromkeys(routable, 0.0), "fallback", why)
        scores = self.scores(message, history, routable)
        decided = _decided(known or {}, scores)
        if decided:
            return Choice(decided, scores, "manager", (known or {})[decided].what)
        ranked = sorted(scores, key=lambda name: scores[name], reverse=True)
        first = scores[ranked[0]]
        second = scores[ranked[1]] if len(ranked) > 1 else 0.0
        settings = self.classifier.settings
        best = ranked[0]
        if first < settings.threshold:
            why = f"no skill is sure: {best} has {first:.2f}, below {settings.threshold:.2f}"
            return Choice(FALLBACK, scores, "fallback", why)
        if first - second < settings.margin:
            why = f"{best} ({first:.2f}) and {ranked[1]} ({second:.2f}) are too close"
            return Choice(FALLBACK, scores, "fallback", why)
        return Choice(best, scores, "manager", f"{best} scores {first:.2f}, the next {second:.2f}")

    def scores(self, message: str, history: History, routable: Sequence[str]) -> dict[str, float]:
        """A probability for each of `routable`; they sum to 1, or are all 0 when the classifier gives no number."""
        row = self.classifier.probabilities(features(self._remembering, message, history.texts, SPAN))[0].tolist()
        known = {name: p for name, p in zip(self.classes, row, strict=True) if name in routable}
        total = sum(known.values())
        if not math.isfinite(total) or total <= 0:
            return dict.fromkeys(routable, 0.0)
        scores = {name: known.get(name, 0.0) / total for name in routable}
        return self._with_new(message, scores)

    def _with_new(self, message: str, scores: dict[str, float]) -> dict[str, float]:
        """Shares of the probability moved to skills that the classifier does not know, by nearness to their phrases."""
        for name, phrases in self.phrases.items():
            if name in scores and phrases:
                nearest = max(self.sentences(message, phrases))
                share = min(1.0, max(0.0, (nearest - NEAR) / (SAME - NEAR)))
                scores = {other: score * (1.0 - share) for other, score in scores.items()} | {name: share}
        return scores


def _sound(folders: SkillFolders, name: str) -> SkillSpec | None:
    """The skill's spec, or None for one with a fault: that keeps itself from answering, not the others."""
    try:
        return folders.load(name)
    except AdapterbotError:
        return None


def _ranker(home: Home, encoder: Similarity) -> Ranker | None:
    """The ranker that the user trained, else the one that ships, if it was trained on this encoder."""
    for path in (home.manager / RANKER, WEIGHTS / RANKER):
        if path.is_file() and (path.parent == home.manager or trained_on(path) == encoder.fingerprint):
            return load_ranker(path, encoder)
    return None


def _decided(known: Mapping[str, Evidence], scores: Mapping[str, float]) -> str:
    """The skill whose source decides; of several with something of the user's own, the likeliest; "" without one."""
    likeliest = max(scores, key=lambda name: scores[name])
    sure = likeliest if scores[likeliest] >= SURE else ""
    own = [n for n in known if known[n].own and n in scores and (known[n].strength >= STRONG or sure in ("", n))]
    found = own or [name for name in known if name in scores]
    return max(found, key=lambda name: scores[name]) if own or len(found) == 1 else ""


def in_use(home: Home) -> tuple[Encoder, Ranker | None]:
    """The encoder that a ranker works on, and the ranker that is in use.

    Raises:
        MissingPartError: MiniLM is not installed. WeightsError: a file is damaged.
    """
    own = home.manager / CLASSIFIER
    encoder = _encoder_of(own) if own.is_file() else load_encoder(DIALOGUE, home.manager)
    return encoder, _ranker(home, Similarity(encoder))


def _encoder_of(path: Path) -> Encoder:
    """The encoder that a classifier file names.

    Raises:
        WeightsError: it is not installed or not there any more.
    """
    name = read_settings(path).encoder
    if name == GONE:
        raise WeightsError(f"{path} reads a backbone's states, as no manager does any more: adapterbot train-manager")
    try:
        return load_encoder(name, path.parent)
    except MissingPartError as error:
        raise WeightsError(
            f"{path} needs the encoder {name!r}: {error}, or train again: adapterbot train-manager"
        ) from None
