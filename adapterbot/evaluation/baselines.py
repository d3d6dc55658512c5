"""A skill beside what it is an alternative to: the bare backbone, and a backbone all of whose weights were trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.data.attributes import Rate
from adapterbot.data.dialogue import Dialogue
from adapterbot.errors import DataError
from adapterbot.evaluation.skill import SkillEvaluation, evaluate_replies, evaluate_skill, held_out_dialogues
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.architectures.cache import Layout
from adapterbot.network.backbone import Backbone, freeze, load_backbone
from adapterbot.network.device import mixed_precision, on_fastest
from adapterbot.network.likelihood import perplexity_of, total_tree_nats
from adapterbot.network.tree import Tree, TreeBatch
from adapterbot.reply.answer import Responder
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.corpus import Corpus, load_corpus
from adapterbot.training.logistic import by_meaning
from adapterbot.training.loop import LoopState, TrainingLoop
from adapterbot.training.schedule import VALIDATION_REPLIES
from adapterbot.training.windows import training_trees, validation_trees

if TYPE_CHECKING:
    from adapterbot.bot import Bot

BARE = "bare"
FULL = "full"
RATE = 1e-4  # of AdamW, where all weights learn
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What to compare a skill with (BARE, FULL), and for how many epochs FULL trains (left out: as skill.toml says).

    `advance` is told replies and updates, those just done and all of them.
    """

    kinds: Collection[str] = ()
    epochs: int | None = None
    seed: int = 0
    advance: Advance = lambda done, total: None


def evaluate_named(
    bot: Bot, name: str, data: str | None, *, most: int, comparison: Comparison, drafts: int | None = None
) -> SkillEvaluation:
    """Judge a skill of a bot on held-out dialogues (see `held_out_dialogues`), and what it is compared with.

    `drafts` per reply; None leaves the skill's own setting.

    Raises:
        AdapterbotError: what keeps the skill from answering, or no dialogue to judge on or to train on.
    """
    spec, dialogues, origin = held_out_dialogues(bot.roster.spec(name), data)
    spec = spec.model_copy(update={"decode": spec.decode.override({"drafts": drafts})})
    learnt = None if data is not None and Path(data).expanduser().is_file() else data  # a file is there to judge alone
    corpus = training_corpus(spec, learnt, dialogues, by_meaning) if FULL in comparison.kinds else None
    total = most * (1 + len(comparison.kinds))
    judged = evaluate_skill(
        spec,
        bot.responder,
        dialogues,
        most=most,
        seed=comparison.seed,
        advance=lambda done: comparison.advance(done, total),
    )
    return replace(compare(judged, bot.responder, comparison, corpus), origin=origin)


def compare(
    judged: SkillEvaluation, responder: Responder, comparison: Comparison, corpus: Corpus | None = None
) -> SkillEvaluation:
    """`judged` with the figures, on the same evaluation set, of the bare backbone (`<name>_backbone`) and of the full
    one (`_full`).

    With `corpus`, the full one's, also `parameters_full` and `share_of_full_gain`: how much of the gain in nats per
    token that training all weights brings the adapter alone brings; left out where training all weights brings none.
    """
    figures = dict(judged.figures)
    evaluation_set = judged.evaluation_set
    backbone = responder.backbone
    nobody = AdapterBank(backbone)
    if BARE in comparison.kinds:
        bare_figures, _ = evaluate_replies(evaluation_set, responder.over(backbone, nobody))
        figures |= {f"{name}_backbone": value for name, value in bare_figures.items()}
    if corpus is not None:
        full = train_all_weights(
            evaluation_set.spec, backbone, corpus, comparison.epochs, comparison.seed, comparison.advance
        )
        full_figures, _ = evaluate_replies(evaluation_set, responder.over(full, nobody))
        figures |= {f"{name}_full": value for name, value in full_figures.items()}
        figures["parameters_full"] = backbone.parameter_count
        bare, own, whole = (math.log(figures[f"perplexity{who}"]) for who in ("_backbone", "", "_full"))
        if whole < bare < math.inf and own < math.inf:
            figures["share_of_full_gain"] = (bare - own) / (bare - whole)
    return replace(judged, figures=figures)


def training_corpus(
    spec: SkillSpec, data: str | None, judged_on: Sequence[Dialogue], rate: Rate | None = None
) -> Corpus:
    """The dialogues that the skill learns from, without those that it is judged on.

    Raises:
        DataError: nothing is left to learn from.
    """
    corpus = load_corpus(spec, data, rate)
    held = {d.texts for d in judged_on}
    train = [d for d in corpus.train if d.texts not in held]
    if not train:
        raise DataError(f"{corpus.origin}: every training dialogue is one that the skill is judged on")
    return replace(corpus, train=train)


def train_all_weights(
    spec: SkillSpec,
    backbone: Backbone,
    corpus: Corpus,
    epochs: int | None = None,
    seed: int = 0,
    advance: Advance = lambda done, total: None,
    rate: float = RATE,
) -> Backbone:
    """A copy of the backbone with all its weights trained on the skill's replies; in memory alone.

    The same trees, batches, epochs, schedule and choice of the best epoch as for an adapter.

    Raises:
        AdapterbotError: a loss or a validation perplexity is no number, or infinite.
    """
    trees = training_trees(corpus, spec, backbone.tokenizer, backbone.positions, seed)
    probe = validation_trees(corpus.valid, spec, backbone.tokenizer, backbone.positions, VALIDATION_REPLIES)
    start = load_backbone(backbone.name, dtype=torch.float32) if backbone.rounded else backbone
    model = replace(start, decoder=copy.deepcopy(start.decoder).requires_grad_(True))
    with on_fastest(model.decoder):
        tune_all_weights(
            model, spec, trees, probe, epochs=epochs, seed=seed, rate=rate, advance=lambda _, total: advance(1, total)
        )
    freeze(model.decoder)
    return model


def tune_all_weights(
    model: Backbone,
    spec: SkillSpec,
    trees: Sequence[Tree],
    probe: Sequence[Tree],
    *,
    epochs: int | None = None,
    seed: int = 0,
    rate: float = RATE,
    optimizer: Callable[[nn.Module, int], torch.optim.Optimizer] | None = None,
    penalty: Callable[[nn.Module], Tensor | float] = lambda _: 0.0,
    advance: Advance = lambda done, total: None,
) -> int:
    """Train all weights of a model where they are, and leave it with those of the epoch that is best on `probe`.

    `optimizer` is made of the decoder and how many updates there will be (None: AdamW at `rate`); `penalty` of the
    decoder is added to the loss; `advance` is told updates done and in all. Returns how many updates were made.

    Raises:
        AdapterbotError: a loss or a validation perplexity is no number, or infinite.
    """
    # Long: what its loop is made of, one a line.
    loop = TrainingLoop(
        learner=model.decoder,
        rows=trees,
        loss=lambda batch: all_weights_loss(model, batch) + penalty(model.decoder),
        validate=lambda: perplexity_of(*total_tree_nats(model, None, probe)),
        weights=model.decoder.state_dict,
        optimizer=torch.optim.AdamW(model.decoder.parameters(), lr=rate),
        rate=rate,
        table=spec.train,
        epochs=epochs or spec.train.epochs,
        seed=seed,
        remedy=f"all weights of the backbone cannot learn skill {spec.name!r} at a rate of {rate:g}",
        state=LoopState(),
        best={},
    )
    if optimizer is not None:
        loop.optimizer = optimizer(model.decoder, loop.steps)
    loop.run(lambda batch, loss: advance(loop.state.step, loop.steps))
    model.decoder.load_state_dict(loop.best)
    return loop.state.step


def all_weights_loss(model: Backbone, trees: Sequence[Tree]) -> Tensor:
    """Mean cross-entropy over the labels of trees, with gradients in every weight."""
    batch, decoder = TreeBatch(trees, model.device, model.dtype), model.decoder
    layout = Layout(batch.positions, batch.seen, packing=batch.packing(prompts=True, replies=True))
    with mixed_precision():
        x = decoder.blocks(decoder.embed(batch.ids, layout), range(model.shape.layers), layout)  # [1, N, d]
        hidden = decoder.norm(x[0, batch.prompts + batch.at])
        return F.cross_entropy(decoder.logits(hidden).float(), batch.labels)
