"""transformers, peft or adapters for the bench: `python torch_peer.py ABOUT`, ABOUT as JSON; see `peers`.

It runs by itself in whichever environment has the library, and so imports nothing of this package.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

MANY = 8  # different adapters
RANK = 16


class Clock:
    """Where `generate` puts its tokens: the prompt first, and then those of a step each; it notes when."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, tokens: Any) -> None:
        """A step has ended."""
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """There is no more."""


def plain(about: dict[str, Any]) -> Any:
    """The model alone."""
    from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

    if "folder" in about:
        return AutoModelForCausalLM.from_pretrained(about["folder"], dtype=torch.float32)
    shape = about["shape"]
    config = GPT2Config(
        vocab_size=shape["vocab"],
        n_positions=shape["positions"],
        n_embd=shape["width"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        n_inner=shape["inner"],
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    return GPT2LMHeadModel(config)


def with_lora(model: Any) -> Any:
    """The model with LoRA on queries, keys and values, as peft has it by default."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["c_attn"], fan_in_fan_out=True)
    config.init_lora_weights = False  # not zero: nothing can be left out
    model = get_peft_model(model, config, adapter_name="s0")
    for i in range(1, MANY):
        model.add_adapter(f"s{i}", config)
    return model


def with_bottlenecks(model: Any) -> Any:
    """The model with bottlenecks after each block (Pfeiffer et al. 2020), as adapters has them by default."""
    importlib.import_module("adapters").init(model)
    for i in range(MANY):
        model.add_adapter(f"s{i}", config="seq_bn")
    return model


@contextmanager
def active(library: str, model: Any, rows: int, mixed: bool) -> Iterator[dict[str, Any]]:
    """The first adapter acts on all rows, or another on each; gives what `generate` wants besides."""
    if library == "adapters":
        composition = importlib.import_module("adapters.composition")
        names = [f"s{i}" for i in range(rows)]
        model.set_active_adapters(composition.BatchSplit(*names, batch_sizes=[1] * rows) if mixed else "s0")
        yield {}
    elif library == "peft" and mixed:
        yield {"adapter_names": [f"s{i}" for i in range(rows)]}
    else:
        yield {}


def ids_of(model: Any, rows: int, count: int) -> torch.Tensor:
    """Prompts without a meaning."""
    vocabulary = model.config.vocab_size // 2
    return torch.tensor([[(row * 997 + i * 31) % vocabulary for i in range(count)] for row in range(rows)])


@torch.inference_mode()
def prefill(library: str, model: Any, job: dict[str, Any]) -> float:
    """Seconds to read prompts."""
    ids = ids_of(model, job["rows"], job["prompt"])
    model.eval()
    with active(library, model, job["rows"], False):
        started = time.perf_counter()
        model(input_ids=ids, use_cache=True, logits_to_keep=1)
        return time.perf_counter() - started


@torch.inference_mode()
def decode(library: str, model: Any, job: dict[str, Any]) -> float:
    """Seconds from the first token to so many more, by `generate`."""
    ids = ids_of(model, job["rows"], job["prompt"])
    model.eval()
    clock = Clock()
    count = job["tokens"] + 1
    with active(library, model, job["rows"], job.get("mixed", False)) as more:
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            min_new_tokens=count,
            max_new_tokens=count,
            pad_token_id=0,
            streamer=clock,
            **more,
        )
    return clock.times[-1] - clock.times[1]


def train(library: str, model: Any, job: dict[str, Any]) -> float:
    """Seconds of updates of one adapter; the first `prompt` tokens of a row are not learnt."""
    if library == "adapters":
        model.train_adapter("s0")
    elif library == "peft":
        model.set_adapter("s0")
    model.train()
    ids = ids_of(model, job["rows"], job["tokens"])
    labels = ids.clone()
    labels[:, : job.get("prompt", 0)] = -100
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=1e-4)
    started = time.perf_counter()
    for _ in range(job["steps"]):
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - started


JOBS: dict[str, Callable[[str, Any, dict[str, Any]], float]] = {"prefill": prefill, "decode": decode, "train": train}
WRAPPERS: dict[str, Callable[[Any], Any]] = {"peft": with_lora, "adapters": with_bottlenecks}


def main() -> None:
    """Answer jobs until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    about = json.loads(sys.argv[1])
    torch.set_num_threads(about["threads"])
    torch.manual_seed(0)
    model = WRAPPERS.get(about["library"], lambda model: model)(plain(about))
    answers.write(json.dumps({"threads": torch.get_num_threads()}) + "\n")
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer: dict[str, Any] = {"seconds": JOBS[job["do"]](about["library"], model, job)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
