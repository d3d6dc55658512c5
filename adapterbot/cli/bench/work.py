"""What ours does in a measure: skills of random weights, and an engine of its own."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models
from torch import nn

from adapterbot.engine.prefix_cache import PrefixCache
from adapterbot.engine.scheduler import Scheduler
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, packed
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.architectures.gpt2 import GPT2
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.backbone import Backbone, freeze
from adapterbot.network.converted import Parts, assemble
from adapterbot.network.int8 import Quantised
from adapterbot.network.tokenizer import SEPARATOR, Tokenizer
from adapterbot.spec.tables import AdapterTable

SHIPPED = AdapterTable(bottleneck=64, first_layer=0.34, on="reply")  # of the skills that ship
MANY = 8  # skills in a batch
DISTINCT = 8  # sets of random numbers: more skills than these have copies of them
STD = 0.02  # of weights


def skill(number: int) -> str:
    """A name."""
    return f"s{number}"


def bank_of(backbone: Backbone, count: int, table: AdapterTable = SHIPPED) -> AdapterBank:
    """So many skills, with weights of their own in memory, as files hold them."""
    made = [_file(backbone.shape, table, seed) for seed in range(min(count, DISTINCT))]
    files = {}
    for i in range(count):
        file = made[i % DISTINCT]
        files[skill(i)] = AdapterFile({name: t.clone() for name, t in file.stored.items()}, file.metadata)
    return AdapterBank(backbone, files)


def _file(shape: Shape, table: AdapterTable, seed: int) -> AdapterFile:
    adapter = Adapter(shape, table, seed)
    draw = torch.Generator().manual_seed(seed)
    tensors = {name: t + STD * torch.randn(t.shape, generator=draw) for name, t in adapter.tensors().items()}
    return AdapterFile(packed(tensors), {"type": adapter.kind, "on": adapter.on})


def gpt2(shape: Shape) -> Backbone:
    """Random weights of this shape, float32; nobody reads its tokens, so that its vocabulary has one word."""
    tokenizer = Tokenizer(FastTokenizer(models.WordLevel({SEPARATOR: 0}, unk_token=SEPARATOR)))
    torch.manual_seed(0)
    decoder = freeze(GPT2(shape))
    for parameter in decoder.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=STD)
    return Backbone("gpt2 of random weights", decoder, tokenizer, "random")


def rounded(backbone: Backbone) -> Backbone:
    """The int8 form, fitted to random inputs as the weights are random too."""
    decoder = backbone.decoder
    names = [name for name, module in decoder.named_modules() if isinstance(module, nn.Linear)]
    matrices = {}
    for name in [*names, decoder.embeddings]:
        weight = decoder.get_parameter(f"{name}.weight")
        inputs = torch.randn(8, weight.shape[1])
        matrices[name] = Quantised.of(weight, inputs, inputs.abs().amax(0))
    others = {n: t for n, t in decoder.state_dict().items() if n.removesuffix(".weight") not in matrices}
    int8 = assemble(type(decoder), decoder.config(), Parts(matrices, others))
    return Backbone(backbone.name, freeze(int8), backbone.tokenizer, backbone.fingerprint)


def scheduler_of(backbone: Backbone, *, keeps: bool = False) -> Scheduler:
    """An engine; `keeps`: it remembers prompts."""
    return Scheduler(backbone, PrefixCache() if keeps else PrefixCache(0))


def mixed(count: int, rows: int = MANY) -> list[str | None]:
    """The adapters of rows among which there are so many, or none."""
    return [skill(row % count) if count else None for row in range(rows)]


def bytes_read(bank: AdapterBank, adapter: str) -> int:
    """Bytes of weights that a step of one row has to read."""
    total = bank.parameters(adapter) * bank.backbone.dtype.itemsize
    for module in bank.backbone.decoder.modules():
        total += sum(parameter.nbytes for parameter in module.parameters(recurse=False))
        total += getattr(module, "packed", 0)
    return total
