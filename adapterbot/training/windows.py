"""Dialogues to windows to trees of tokens: what an adapter learns from and is scored on."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from adapterbot.data.dialogue import Dialogue, DialogueTurn
from adapterbot.errors import DataError
from adapterbot.history import History, first_shown
from adapterbot.language.sentences import recase
from adapterbot.network.tokenizer import Tokenizer
from adapterbot.network.tree import Tree, merge
from adapterbot.reply.prompt import encode
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.corpus import Corpus
from adapterbot.turn import Prompt


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive utterances, the last of which is a reply, and its facts."""

    facts: tuple[str, ...]
    utterances: tuple[str, ...]

    @property
    def history(self) -> History:
        """What was said before the reply, the user last."""
        said = self.utterances[:-1]
        conversation = History()
        for i, text in enumerate(said):
            users = (len(said) - i) % 2 == 1
            conversation = conversation.add_user(text) if users else conversation.add_bot(text)
        return conversation


def replies(dialogue: Dialogue, spec: SkillSpec) -> Iterator[Window]:
    """One window per reply, with exactly the history it would have in a chat: what perplexity is measured on."""
    return (window for together in shared(dialogue, spec) for window in together)


def shared(dialogue: Dialogue, spec: SkillSpec) -> Iterator[list[Window]]:
    """The same windows, those that begin at the same utterance together: what they share is computed once."""
    numbered = [i for i, turn in enumerate(dialogue.turns) if turn.speaker == "system" and i > 0]
    for _, indexes in groupby(numbered, key=lambda i: first_shown(i, spec.turns)):
        yield [window_of(dialogue, i, spec) for i in indexes]


def window_of(dialogue: Dialogue, index: int, spec: SkillSpec) -> Window:
    """One reply after what a chat would show of the utterances before it."""
    return Window(facts_of(dialogue, index, spec), dialogue.texts[first_shown(index, spec.turns) : index + 1])


def facts_of(dialogue: Dialogue, index: int, spec: SkillSpec) -> tuple[str, ...]:
    """The facts of one reply by the spec's `data.facts`, at most `knowledge.limit`, else `knowledge.when_empty`."""
    kind = spec.data.facts
    knowledge = dialogue.turns[index].knowledge
    found = {"none": (), "context": dialogue.context, "knowledge": knowledge, "auto": knowledge or dialogue.context}[
        kind
    ]
    return found[: spec.knowledge.limit] or tuple(filter(None, [spec.knowledge.when_empty]))


def encode_windows(parts: Iterable[Window], tokenizer: Tokenizer, positions: int) -> list[Prompt]:
    """Token rows with labels; rows whose reply does not fit into the positions are left out."""
    rows = (encode(tokenizer, w.facts, w.utterances, positions=positions, learn=[len(w.utterances) - 1]) for w in parts)
    return [row for row in rows if len(row.ids) <= positions]


def training_trees(corpus: Corpus, spec: SkillSpec, tokenizer: Tokenizer, positions: int, seed: int) -> list[Tree]:
    """Trees of the training dialogues, with what `data.recase` does to a share of them.

    Of all of them, or of so many dialogues, drawn at random, that `train.tokens` are reached.
    """
    drawn = corpus.train
    if spec.train.tokens:
        drawn = random.Random(f"{seed} part").sample(drawn, len(drawn))
    trees, tokens = list[Tree](), 0
    for tree in trees_of(_windows(drawn, spec, seed), spec, tokenizer, positions):
        trees.append(tree)
        tokens += tree.tokens
        if tokens >= spec.train.tokens > 0:
            break
    if not trees:
        raise DataError(f"{corpus.origin}: no reply fits into the backbone's {positions} positions")
    return trees


def trees_of(parts: Iterable[list[Window]], spec: SkillSpec, tokenizer: Tokenizer, positions: int) -> Iterator[Tree]:
    """A tree of the windows of each list."""
    whole = spec.adapter is None or spec.adapter.on == "all"
    for part in parts:
        if prompts := encode_windows(part, tokenizer, positions):
            yield merge(prompts, whole)


def validation_trees(
    dialogues: Sequence[Dialogue], spec: SkillSpec, tokenizer: Tokenizer, positions: int, most: int
) -> list[Tree]:
    """Trees of about `most` validation replies, evenly spread over the dialogues."""
    everything = [part for d in dialogues for part in shared(d, spec)]
    step = max(1, round(sum(map(len, everything)) / most))
    return list(trees_of(everything[::step], spec, tokenizer, positions))


def _windows(dialogues: Iterable[Dialogue], spec: SkillSpec, seed: int) -> Iterator[list[Window]]:
    """The training windows, a share of the dialogues with capitals where sentences start."""
    for dialogue in dialogues:
        recase_it = random.Random(f"{seed} {dialogue.id}").random() < spec.data.recase
        yield from shared(recase_dialogue(dialogue) if recase_it else dialogue, spec)


def recase_dialogue(dialogue: Dialogue) -> Dialogue:
    """The dialogue with capitals where sentences start: lower-cased corpora should not set the bot's register."""
    return replace(
        dialogue,
        turns=tuple(
            DialogueTurn(t.speaker, recase(t.text), tuple(map(recase, t.knowledge)), t.label) for t in dialogue.turns
        ),
        context=tuple(map(recase, dialogue.context)),
    )
