"""Little models of Llama's family as transformers saves them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from conftest import VOCABULARY

VOCAB = 8192
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "max_position_embeddings": 96,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 80,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}


def make_model(kind: str, folder: Path, **changes: Any) -> Any:
    """A small model of random weights, of transformers and as its folder, with the tests' vocabulary."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, "attention_dropout": 0.0, **changes})
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.tie_weights()
    model.save_pretrained(folder)
    shutil.copy(VOCABULARY / "tokenizer.json", folder)
    return model
