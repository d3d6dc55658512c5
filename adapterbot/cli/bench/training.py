"""An update of one adapter beside peft and adapters: the paper's, and the upper half over trunks that are kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from adapterbot.cli.bench import work
from adapterbot.cli.bench.gpt2 import title
from adapterbot.cli.bench.peers import Peers
from adapterbot.cli.bench.results import Row
from adapterbot.cli.bench.setting import Setting, alternate
from adapterbot.evaluation import speed
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.device import training_type
from adapterbot.network.likelihood import tree_nats
from adapterbot.network.tokenizer import IGNORE
from adapterbot.network.tree import merge
from adapterbot.spec.tables import AdapterTable
from adapterbot.training.adapter import BETAS, DECAY
from adapterbot.training.schedule import CLIP
from adapterbot.training.trunk_store import TrunkStore
from adapterbot.turn import Prompt

ROWS = 4
REPLY = 0.25  # of a row, where replies alone are learnt
PAPER = AdapterTable()  # on all tokens, from the first block on
UPPER = AdapterTable(first_layer=0.5)


class Learner:
    """One adapter and the rows that it learns; the trunks are computed in the first update."""

    def __init__(self, backbone: Backbone, table: AdapterTable, prompt: int, length: int, folder: Path) -> None:
        """The first `prompt` tokens of each row are not learnt."""
        rows = [ids for row in range(ROWS) if (ids := tuple(speed.ids_of(backbone, row, length)))]
        labels = [(IGNORE,) * prompt + ids[prompt:] for ids in rows]
        prompts = [Prompt(ids, of, reply=prompt) for ids, of in zip(rows, labels, strict=True)]
        self.backbone = backbone
        self.trees = [merge([prompt], table.on == "all") for prompt in prompts]
        self.adapter = Adapter(backbone.shape, table)
        self.trunks = TrunkStore(folder, backbone, self.trees, table.first_block(backbone.shape.layers))
        self.optimizer = torch.optim.AdamW(self.adapter.parameters(), lr=1e-4, betas=BETAS, weight_decay=DECAY)

    def step(self) -> float:
        """One update, as `training.loop` makes it; returns the loss."""
        loss = tree_nats(self.backbone, self.adapter.adapters(self.backbone.dtype), self.trees, self.trunks).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.adapter.parameters(), CLIP)
        self.optimizer.step()
        return float(loss.detach())


def measures(setting: Setting) -> Iterator[Row]:
    """Tokens of rows a second: all of them learnt, and the reply alone."""
    sizes = setting.sizes
    name = title(sizes.shape)
    backbone = work.gpt2(sizes.shape)
    backbone.decoder.to(training_type())
    prompt = sizes.row - int(REPLY * sizes.row)
    with (
        setting.on(setting.many),
        Peers(setting.peers, setting.many) as peers,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place,
    ):
        paper, upper, shipped = (
            Learner(backbone, table, before, sizes.row, Path(place, label))
            for table, before, label in ((PAPER, 0, "paper"), (UPPER, 0, "upper"), (work.SHIPPED, prompt, "shipped"))
        )
        theirs = {library: _theirs(peers, setting, library, 0) for library in ("adapters seq_bn", "peft LoRA")}
        contenders = {"paper": _ours(paper), "upper": _ours(upper), "shipped": _ours(shipped), **theirs}
        repeats = min(2, sizes.gpt2_repeats)
        found = alternate(setting, f"training, {ROWS} x {sizes.row} tokens", contenders, 1, repeats=repeats)
        for library in theirs:
            for mine, what, least in (
                ("paper", "the paper's adapter", 1.3),
                ("upper", "upper half, trunk kept", 3.0),
                ("shipped", "as skills that ship, the last quarter of each row learnt", None),
            ):
                yield found.row("training", f"{name}, training, {what}", "tokens/s", mine, library, at_least=least)


def _ours(learner: Learner) -> Callable[[int], float]:
    def rate(steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            learner.step()
        return steps * _tokens(learner) / (time.perf_counter() - started)

    return rate


def _tokens(learner: Learner) -> int:
    """Of all rows: the last one of each is a label alone."""
    return sum(tree.tokens + 1 for tree in learner.trees)


def _theirs(peers: Peers, setting: Setting, library: str, prompt: int) -> Callable[[int], float]:
    length = setting.sizes.row

    def rate(steps: int) -> float:
        peer = peers.torch(library.split()[0], setting.sizes.shape)
        return steps * ROWS * length / peer.seconds("train", rows=ROWS, tokens=length, prompt=prompt, steps=steps)

    return rate
