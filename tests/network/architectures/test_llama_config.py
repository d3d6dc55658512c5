"""What config.json says of a Llama, as older and newer files say it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from llama_folders import SIZES
from test_llama import CONFIG, LLAMA3

from adapterbot.errors import BackboneError
from adapterbot.network.architectures.llama import Llama
from adapterbot.network.architectures.shape import Rope, Shape


@pytest.mark.parametrize("name", [n for n in SIZES if n not in ("num_key_value_heads", "tie_word_embeddings")])
def test_a_config_that_lacks_a_number_is_refused(name: str) -> None:
    for config in ({k: v for k, v in CONFIG.items() if k != name}, CONFIG | {name: "wide"}):
        with pytest.raises(BackboneError, match="lacks or garbles") as caught:
            Llama.read_config(config)
        assert "\n" not in str(caught.value)


def test_without_a_number_of_key_heads_a_llama_has_one_per_head_and_no_other_type_is_guessed() -> None:
    config = {k: v for k, v in CONFIG.items() if k != "num_key_value_heads"}
    assert Llama.read_config(config).kv_heads == 6
    for kind in ("mistral", "qwen2", "qwen3"):
        with pytest.raises(BackboneError, match="num_key_value_heads"):
            Llama.read_config(config | {"model_type": kind, "sliding_window": None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"model_type": "mistral"}, "sliding window"),
        ({"model_type": "mistral", "sliding_window": 32}, "sliding window"),
        ({"model_type": "mistral", "sliding_window": "wide"}, "lacks or garbles"),
        ({"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 32}, "sliding window"),
        ({"model_type": "qwen3", "layer_types": ["full_attention", "sliding_attention"]}, "sliding window"),
        ({"num_key_value_heads": 4}, "cannot share"),
        ({"num_attention_heads": 5}, "cannot be split"),
        ({"head_dim": 7}, "in pairs"),
        ({"vocab_size": 0}, "such numbers"),
        ({"hidden_size": -48}, "such numbers"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope_type 'yarn' is not supported"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type 'dynamic' is not supported"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor"),
        ({"rope_parameters": {"rope_theta": 0.5, "rope_type": "linear", "factor": 0}}, "cannot turn"),
        ({"rope_theta": -1}, "cannot turn"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"rope_parameters": [5]}, "lacks or garbles"),
    ],
    ids=lambda v: str(v)[:60],
)
def test_a_variant_that_is_not_computed_is_refused(change: dict[str, Any], message: str) -> None:
    config = {**CONFIG, "max_position_embeddings": 8192, **change}
    with pytest.raises(BackboneError, match=message) as caught:
        Llama.read_config(config)
    assert "\n" not in str(caught.value)


def test_the_config_is_read_as_older_and_newer_files_say_it() -> None:
    smollm2 = Shape(
        vocab=49152,
        positions=8192,
        width=576,
        layers=30,
        heads=9,
        inner=1536,
        activation="silu",
        kv_heads=3,
        rope=Rope(100_000.0),
    )
    config = {
        "model_type": "llama",
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000,
        "rope_scaling": None,
        "tie_word_embeddings": True,
    }
    assert Llama.read_config(config) == smollm2
    assert smollm2.head_width == 64
    older = {"type": "linear", "factor": 2.0}
    assert Llama.read_config(config | {"rope_scaling": older}).rope == Rope(100_000.0, "linear", 2.0)
    newer = {k: v for k, v in config.items() if not k.startswith("rope")} | {"rope_parameters": LLAMA3}
    assert Llama.read_config(newer).rope == Rope(500.0, "llama3", 8.0, 1.0, 4.0, 32)
    assert Llama.read_config(config | {"model_type": "qwen3"}).head_width == 128
