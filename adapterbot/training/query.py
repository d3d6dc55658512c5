"""`adapterbot train-query`: the adapter that writes queries, from our own lines and from belief states of corpora.

A query is a reply like any other to train on: the conversation, then the schema of a source where facts stand, then
the query. The loss is taken on the query alone, as TRADE (Wu et al. 2019) and SimpleTOD (Hosseini-Asl et al. 2020)
generate a belief state; here under a schema that is read, so that a table it has never seen can be asked.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from adapterbot.data.belief_states import domains_of, lines_of, names_of, read_turns
from adapterbot.data.query_lines import QueryLine, own_lines
from adapterbot.errors import DataError
from adapterbot.home import Home
from adapterbot.network.adapters.file import save_adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.checkpoint import remove_checkpoint
from adapterbot.network.device import on_fastest
from adapterbot.network.tokenizer import Tokenizer
from adapterbot.network.tree import Tree, merge
from adapterbot.reply.query_writer import NAME, SHIPPED, TURNS, laid_out
from adapterbot.spec.tables import AdapterTable, SkillSpec, TrainTable
from adapterbot.training.adapter import AdapterTraining
from adapterbot.training.objective import Trees

OWN_WEIGHT = 2  # how often each of our own lines is learnt in an epoch
# Which domains of which states are learnt, and how many dialogues of each set.
STATES: dict[str, tuple[frozenset[str] | None, int]] = {
    "multiwoz": (frozenset({"restaurant", "hotel", "attraction", "train"}), 260),
    "camrest": (frozenset({"restaurant"}), 300),
    "woz": (frozenset({"restaurant"}), 265),
    "sgd": (None, 200),
    "kvret": (frozenset({"weather", "navigation"}), 500),
}
ONE_TURN = frozenset({"kvret"})  # sets whose later states are not to be trusted
SPEC = SkillSpec(
    name=NAME,
    folder=SHIPPED,
    summary="Writes the query that finds what the user wants.",
    group="task",
    turns=TURNS,
    adapter=AdapterTable(bottleneck=64, first_layer=0.34, on="reply"),
    train=TrainTable(epochs=1, lr=2e-3, batch=8),
)


@dataclass(frozen=True, slots=True)
class QueryTraining:
    """What a training of the writer did."""

    path: Path
    origin: str
    before: float  # perplexity of the validation queries
    after: float
    tokens_per_second: float
    ending: str


def train_query(
    backbone: Backbone,
    *,
    home: Home,
    states: Path | None = None,
    epochs: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    quiet: bool = False,
) -> QueryTraining:
    """Train the adapter that writes queries and write `out/adapter.safetensors` (default: the user's home).

    `states` is a folder of belief states, one folder a set; without it our own lines alone are learnt. A run that was
    killed goes on from its last checkpoint.

    Raises:
        DataError: a file of lines or states cannot be read.
    """
    lines, valid = groups(states, seed)
    tokenizer, positions = backbone.tokenizer, backbone.positions
    trees = Trees(
        list(trees_of(lines, tokenizer, positions)),
        list(trees_of(valid, tokenizer, positions)),
        hashlib.sha256(repr((lines, valid)).encode("utf-8", "replace")).hexdigest()[:16],
    )
    epochs = epochs or SPEC.train.epochs
    training = AdapterTraining.prepare(SPEC, backbone, trees, home.training / SPEC.name, epochs, seed)
    with on_fastest(backbone.decoder, training.adapter):
        speed, _ = training.fit(quiet, 60.0)
        before, after = training.finish()
    path = (out or home.query) / "adapter.safetensors"
    origin = f"{sum(map(len, lines)):,} lines, {sum(tree.tokens for tree in trees.train):,} tokens"
    metadata = {
        "skill": SPEC.name,
        "type": training.adapter.file().type,
        "backbone": backbone.fingerprint,
        "spec": SPEC.digest,
        "seed": str(seed),
        "perplexity_before": f"{before.perplexity:.3f}",
        "perplexity_after": f"{after.perplexity:.3f}",
        "data": origin,
        "on": training.adapter.on,
    }
    save_adapter(path, training.adapter.file().tensors, metadata)
    remove_checkpoint(training.folder)
    state = training.loop.state
    ending = f"{state.step:,} of {training.loop.steps:,} steps, best epoch {state.best_epoch}"
    return QueryTraining(path, origin, before.perplexity, after.perplexity, speed, ending)


def groups(states: Path | None, seed: int) -> tuple[list[list[QueryLine]], list[list[QueryLine]]]:
    """Lines to learn and lines to validate on; those of one conversation together."""
    train, valid = own_lines()
    lines = [[line] for line in train for _ in range(OWN_WEIGHT)]
    if states is not None:
        lines += [group for name in STATES for group in _of_states(states, name, seed)]
    if not lines:
        raise DataError("there are no lines to learn queries from")
    return lines, [[line] for line in valid]


def _of_states(folder: Path, name: str, seed: int) -> Iterator[list[QueryLine]]:
    """The lines of some dialogues of one set, drawn at random."""
    path = folder / name / "train.jsonl.gz"
    if not path.is_file():
        return
    domains, most = STATES[name]
    cambridge = folder / "multiwoz" / "train.jsonl.gz"
    named = names_of(cambridge, "restaurant") if name in ("camrest", "woz") and cambridge.is_file() else []
    dialogues = read_turns(path, domains, named)
    known = domains_of(dialogues)
    draw = random.Random(f"{seed} {name}")
    for dialogue in draw.sample(dialogues, min(most, len(dialogues))):
        lines = list(lines_of(dialogue, known, draw))
        if name in ONE_TURN:
            lines = [line for line in lines if not line.history]
        if lines:
            yield lines


def trees_of(lines: Iterable[Sequence[QueryLine]], tokenizer: Tokenizer, positions: int) -> Iterator[Tree]:
    """A tree for each conversation, of several where it is long; a line reads `TURNS` utterances at most."""
    for conversation in lines:
        for _, part in groupby(conversation, lambda line: max(0, len(line.history) + 1 - TURNS) // 2):
            prompts = []
            for line in part:
                prompts.append(laid_out(tokenizer, line.schema, line.utterances, positions, query=True))
            yield merge([prompt for prompt in prompts if len(prompt.ids) <= positions], False)
