"""GPT-2-medium's shape beside adapters, peft and transformers: one adapter, and eight different ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from adapterbot.cli.bench import work
from adapterbot.cli.bench.peers import Peers
from adapterbot.cli.bench.results import Row
from adapterbot.cli.bench.setting import Setting, alternate
from adapterbot.evaluation import speed
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

REDUCTION = 16  # of adapters' bottlenecks
RANK = 16  # of peft's LoRA
PROMPT = 8
FP32, INT8, LORA = "adapterbot, fp32", "adapterbot, int8", "adapterbot, LoRA, fp32"
Rate = Callable[[int], float]


def bottlenecks(shape: Shape) -> AdapterTable:
    """What adapters calls seq_bn."""
    return AdapterTable(type="pfeiffer", bottleneck=max(1, shape.width // REDUCTION))


def lora() -> AdapterTable:
    """LoRA as peft has it by default on GPT-2: on queries, keys and values."""
    return AdapterTable(type="lora", rank=RANK, targets=("qkv",))


def title(shape: Shape) -> str:
    """What stands for the shape in a row's name."""
    return "GPT-2-medium shape" if shape.layers == 24 else f"GPT-2 of {shape.layers} layers"


def measures(setting: Setting) -> Iterator[Row]:
    """One row with one adapter; eight rows with one; eight with different ones."""
    shape = setting.sizes.shape
    name = title(shape)
    setting.announce(f"{name}: drawing weights")
    precise = work.gpt2(shape)
    int8 = work.rounded(precise)
    banks = {
        FP32: work.bank_of(precise, work.MANY, bottlenecks(shape)),
        INT8: work.bank_of(int8, work.MANY, bottlenecks(shape)),
        LORA: work.bank_of(precise, work.MANY, lora()),
    }
    with setting.on(setting.many), Peers(setting.peers, setting.many) as peers:
        yield from _row_by_row(setting, name, banks, peers, 1, 1.5, 3.5)
        yield from _row_by_row(setting, name, banks, peers, work.MANY, 2.0, 4.0)


def _row_by_row(
    setting: Setting, name: str, banks: dict[str, AdapterBank], peers: Peers, rows: int, precise: float, int8: float
) -> Iterator[Row]:
    """Batches of so many rows, all of one adapter and, where there are several, each of another."""
    sizes = setting.sizes
    many = rows > 1
    contenders: dict[str, Rate] = {kind: _ours(bank, rows) for kind, bank in banks.items()}
    one, other = "adapters seq_bn, one adapter", "adapters BatchSplit"
    contenders[one] = _theirs(peers, "adapters", sizes.shape, rows, False)
    if many:
        contenders[other] = _theirs(peers, "adapters", sizes.shape, rows, True)
    contenders["peft LoRA, one adapter"] = _theirs(peers, "peft", sizes.shape, rows, False)
    if many:
        contenders["peft LoRA, different adapters"] = _theirs(peers, "peft", sizes.shape, rows, True)
    contenders["transformers, no adapter"] = _theirs(peers, "transformers", sizes.shape, rows, False)
    what = f"batch {rows}{f', {rows} skills' if many else ''}"
    found = alternate(setting, what, contenders, sizes.gpt2_tokens, repeats=sizes.gpt2_repeats, warm=2)
    against = other if many else one
    yield found.row("gpt2", f"{name}, {what}, fp32", "tokens/s", FP32, against, at_least=precise)
    yield found.row("gpt2", f"{name}, {what}, int8", "tokens/s", INT8, against, at_least=int8)
    for theirs in contenders:
        if theirs not in (against, *banks):
            mine = LORA if theirs.startswith("peft") else FP32
            kind = "LoRA, fp32" if mine == LORA else "fp32"
            yield found.row("gpt2", f"{name}, {what}, {kind}", "tokens/s", mine, theirs)


def _ours(bank: AdapterBank, rows: int) -> Rate:
    return lambda tokens: speed.decode_rate(bank, work.mixed(rows, rows), PROMPT, tokens)


def _theirs(peers: Peers, library: str, shape: Shape, rows: int, mixed: bool) -> Rate:
    def rate(tokens: int) -> float:
        peer = peers.torch(library, shape)
        return tokens * rows / peer.seconds("decode", rows=rows, prompt=PROMPT, tokens=tokens, mixed=mixed)

    return rate
