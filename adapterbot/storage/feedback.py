"""What users liked, as dialogues to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from adapterbot.storage.conversations import Exchange, Store


def liked_dialogues(store: Store) -> Iterator[dict[str, Any]]:
    """A dialogue for each run of liked exchanges of one skill, as dialogue files have them; `domain` is the skill.

    Only what was liked is in it, since a training learns every reply of a dialogue. A reply's `rejected` are the
    other versions that were seen and not liked.
    """
    for session in store.sessions():
        run = list[Exchange]()
        for exchange in store.exchanges(session.id):
            for version in store.versions(session.id, exchange.position):
                if version.opinion > 0 and version.number != exchange.number:  # liked, and another one is shown
                    yield _dialogue(store, session.id, [version])
            if run and (exchange.opinion <= 0 or exchange.reply.skill != run[-1].reply.skill):
                yield _dialogue(store, session.id, run)
                run = []
            if exchange.opinion > 0:
                run.append(exchange)
        if run:
            yield _dialogue(store, session.id, run)


def _dialogue(store: Store, session: str, run: Sequence[Exchange]) -> dict[str, Any]:
    turns = list[dict[str, Any]]()
    for exchange in run:
        others = store.versions(session, exchange.position)
        rejected = [
            other.reply.text
            for other in others
            if other.message == exchange.message and other.opinion <= 0 and other.reply.text != exchange.reply.text
        ]
        answer: dict[str, Any] = {"speaker": "system", "text": exchange.reply.text}
        answer |= {"knowledge": [fact.line for fact in exchange.reply.facts]} if exchange.reply.facts else {}
        answer |= {"rejected": rejected} if rejected else {}
        turns += [{"speaker": "user", "text": exchange.message}, answer]
    return {
        "id": f"{session}-{run[0].position}-{run[0].number}",
        "turns": turns,
        "domain": run[0].reply.skill,
        "label": "liked",
    }
