"""What ours does in a measure: skills of random weights, prompts without a meaning, tokens at the engine's speed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models
from torch import nn

from adapterbot.engine.batch import Batch, Job
from adapterbot.engine.prefill import whole
from adapterbot.engine.prefix_cache import PrefixCache
from adapterbot.engine.request import Request
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
from adapterbot.turn import Decode

SHIPPED = AdapterTable(bottleneck=64, first_layer=0.34, on="reply")  # of the skills that ship
MANY = 8  # skills in a batch
DISTINCT = 8  # sets of random numbers: more skills than these have copies of them
OPENING = 3  # tokens of a prompt that open the reply
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


def ids_of(backbone: Backbone, row: int, count: int) -> list[int]:
    """Tokens without a meaning, others for every row from the first on."""
    vocabulary = backbone.shape.vocab // 2
    return [(row * 997 + i * 31 + 7) % vocabulary for i in range(count)]


def request(backbone: Backbone, row: int, adapter: str | None, prompt: int, tokens: int) -> Request:
    """Greedy, to exactly so many tokens."""
    return Request(ids_of(backbone, row, prompt), adapter, exactly(tokens), row, reply=max(0, prompt - OPENING))


def exactly(tokens: int) -> Decode:
    """Greedy decoding that neither ends before nor looks back."""
    return Decode(temperature=0.0, repetition_penalty=1.0, no_repeat_ngram=0, min_tokens=tokens, max_tokens=tokens)


@torch.inference_mode()
def prefill_rate(bank: AdapterBank, adapter: str | None, tokens: int) -> float:
    """Tokens of a prompt that are read a second."""
    wanted = request(bank.backbone, 0, adapter, tokens, 1)
    started = time.perf_counter()
    whole(bank.backbone, bank, wanted, 1)
    return tokens / (time.perf_counter() - started)


@torch.inference_mode()
def decode_rate(bank: AdapterBank, adapters: Sequence[str | None], prompt: int, tokens: int) -> float:
    """Tokens a second of a batch in which every row has its adapter, from the end of the prompts on."""
    batch = Batch(bank.backbone, bank)
    for row, adapter in enumerate(adapters):
        wanted = request(bank.backbone, row, adapter, prompt, tokens + 2)
        logits, cache = whole(bank.backbone, bank, wanted, tokens + 2)
        batch.join(Job(bank.backbone, bank, wanted), cache, logits)
    started = time.perf_counter()
    for _ in range(tokens):
        batch.step()
    return len(adapters) * tokens / (time.perf_counter() - started)


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
