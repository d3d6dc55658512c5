"""OpenDialKG (Moon et al. 2019): talk about films, books, music and sport, with the triples that a reply uses.

Some of the training replies get further triples about the same things, as a look-up in a graph gives them. The
validation part is as it is. More than half of the replies tell what no triple of theirs holds; without these an adapter
predicts people's replies worse than the bare backbone (perplexity 22.8 against 21.8), so they stay, and drafts with
invented names are ranked back (`rerank`).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adapterbot.data.corpora import Splits, load_path
from adapterbot.data.dialogue import Dialogue, DialogueTurn

FOLDER = "dialkg"
HUB = None
LICENCE = "CC BY-NC 4.0 (OpenDialKG)"
TRIPLES = 5  # of a reply at most, its own among them
Graph = Mapping[str, Sequence[str]]


def read(folder: Path, domain: str) -> Splits:
    """Training dialogues with further triples, and the validation dialogues.

    Raises:
        DataError: the folder lacks the corpus, or a line is bad.
    """
    splits = load_path(next((folder / name for name in (FOLDER, "open_dialkg") if (folder / name).is_dir()), folder))
    graph = _graph(splits["train"])
    return {"train": [_among_others(dialogue, graph) for dialogue in splits["train"]], "valid": splits["valid"]}


def _graph(dialogues: Iterable[Dialogue]) -> Graph:
    """All triples of the dialogues by the things they join, in order."""
    graph = defaultdict[str, dict[str, None]](dict)
    for turn in (turn for dialogue in dialogues for turn in dialogue.turns):
        for triple in turn.knowledge:
            subject, _, other = triple.partition("\t")
            for name in (subject, other.rpartition("\t")[2]):
                graph[name][triple] = None
    return {name: list(triples) for name, triples in graph.items()}


def _among_others(dialogue: Dialogue, graph: Graph) -> Dialogue:
    draw = random.Random(dialogue.id)
    return replace(dialogue, turns=tuple(_more_triples(turn, graph, draw) for turn in dialogue.turns))


def _more_triples(turn: DialogueTurn, graph: Graph, draw: random.Random) -> DialogueTurn:
    """The turn with up to `TRIPLES` triples in any order, where the graph has more about the same things."""
    own = turn.knowledge
    things = {name for triple in own for name in (triple.split("\t")[0], triple.split("\t")[-1])}
    others = sorted({triple for name in things for triple in graph.get(name, ())} - set(own))
    room = max(0, TRIPLES - len(own))
    more = draw.sample(others, min(len(others), draw.randint(0, room))) if own else []
    return replace(turn, knowledge=tuple(draw.sample([*own, *more], len(own) + len(more)))) if more else turn
