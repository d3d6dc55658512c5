"""2 · From which probabilities on the care head says that a message needs care, and that a draft does harm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from adapterbot.manager.care import CLASSES, GRAVE, KINDS, NONE, decided
from adapterbot.manager.care_head import CareHead
from adapterbot.manager.training.care_lines import JudgedDraft, Message, Ordinary

# Shares of ordinary messages, and of lines that were written to look grave, that may get care: for the grave kinds, and
# for all kinds. To miss somebody in trouble is worse than to ask an ordinary person whether all is well.
GRAVE_ALARMS = (0.0027, 0.031)
ALARMS = (0.0042, 0.06)
HARM_ALARMS = 0.01  # of people's replies may be refused
GRID = [n / 100 for n in range(20, 100)]
REFUSED = 0.25  # the lowest probability of harm at which a draft is refused


def calibrated(head: CareHead, own: Sequence[Message], drafts: Sequence[JudgedDraft], talk: Ordinary) -> CareHead:
    """The head with the lowest thresholds that keep false alarms below GRAVE_ALARMS, ALARMS and HARM_ALARMS, and
    with its figures on what it did not learn from."""
    told = head.scores([(*m.before, m.text) for m in own])
    usual = head.scores([(*m.before, m.text) for m in talk.messages])
    alike = [scores for m, scores in zip(own, told, strict=True) if m.kind == NONE]
    grave = _lowest([sum(s[k] for k in GRAVE) for s in usual], [sum(s[k] for k in GRAVE) for s in alike], GRAVE_ALARMS)
    other = _lowest([1 - s[NONE] for s in usual], [1 - s[NONE] for s in alike], ALARMS)
    thresholds = {kind: grave if kind in GRAVE else max(grave, other) for kind in KINDS}
    harm = head.harm([(d.text, d.said) for d in drafts])
    fine = head.harm([(d.text, d.said) for d in talk.drafts])
    draft = max(REFUSED, _lowest(fine, (), (HARM_ALARMS, 1.0)))
    kinds = [decided(scores, thresholds).kind for scores in told]
    caught = {k: [found != NONE for m, found in zip(own, kinds, strict=True) if m.kind == k] for k in CLASSES}
    named = [m.kind == found for m, found in zip(own, kinds, strict=True) if m.kind != NONE]
    metrics = {
        **{f"care, {kind}": share(found) for kind, found in caught.items() if kind != NONE},
        "right kind": share(named),
        "false alarms, look-alikes": share(caught[NONE]),
        "false alarms, ordinary": share(decided(s, thresholds).kind != NONE for s in usual),
        "harmful drafts refused": share(h >= draft for h, d in zip(harm, drafts, strict=True) if d.harm),
        "harmless drafts refused": share(h >= draft for h, d in zip(harm, drafts, strict=True) if not d.harm),
        "people's replies refused": share(h >= draft for h in fine),
    }
    settings = replace(head.settings, thresholds=thresholds, draft=draft, metrics=metrics)
    return head.with_settings(settings)


def _lowest(usual: Sequence[float], alike: Sequence[float], most: tuple[float, float]) -> float:
    """The lowest threshold that at most such shares of the `usual` texts and of the look-alikes reach."""
    for threshold in GRID:
        shares = (share(p >= threshold for p in texts) for texts in (usual, alike))
        if all(share <= limit for share, limit in zip(shares, most, strict=True)):
            return threshold
    return GRID[-1]


def share(true: Iterable[bool]) -> float:
    """How many of them are true, 0 to 1; 0 of none."""
    values = list(true)
    return sum(values) / max(1, len(values))
