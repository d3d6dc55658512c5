"""The numbers of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapterbot.errors import BackboneError

ACTIVATIONS = {"gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "gelu": "none"}  # name -> F.gelu's approximation


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a GPT-2-shaped model."""

    vocab: int
    positions: int
    width: int
    layers: int
    heads: int
    inner: int
    epsilon: float = 1e-5
    activation: str = "gelu_new"
    tied: bool = True

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            raise BackboneError(f"a width of {self.width} cannot be split into {self.heads} heads")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Shape:
        """Read a Hugging Face config.json.

        Raises:
            BackboneError: another `model_type`, or a variant of GPT-2 that this decoder does not compute.
        """
        if config.get("model_type") != "gpt2":
            raise BackboneError(
                f"model_type {config.get('model_type')!r} is not supported; the decoder computes 'gpt2' "
                "(GPT-2, DialoGPT, the embedded backbone)"
            )
        for name, usual in (
            ("scale_attn_weights", True),
            ("scale_attn_by_inverse_layer_idx", False),
            ("add_cross_attention", False),
        ):
            if config.get(name, usual) != usual:
                raise BackboneError(f"config.json sets {name} = {config[name]}, which this decoder does not compute")
        activation = config.get("activation_function", "gelu_new")
        if activation not in ACTIVATIONS:
            raise BackboneError(
                f"activation_function {activation!r} is not supported; there are: {', '.join(ACTIVATIONS)}"
            )
        try:
            width, inner = int(config["n_embd"]), config.get("n_inner")
            return cls(
                vocab=int(config["vocab_size"]),
                positions=int(config["n_positions"]),
                width=width,
                layers=int(config["n_layer"]),
                heads=int(config["n_head"]),
                inner=int(inner or 4 * width),
                epsilon=float(config.get("layer_norm_epsilon", 1e-5)),
                activation=activation,
                tied=bool(config.get("tie_word_embeddings", True)),
            )
        except BackboneError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise BackboneError(f"config.json lacks or garbles {error}") from None

    def to_config(self) -> dict[str, Any]:
        """A Hugging Face config.json that `from_config` reads back."""
        return {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "vocab_size": self.vocab,
            "n_positions": self.positions,
            "n_embd": self.width,
            "n_layer": self.layers,
            "n_head": self.heads,
            "n_inner": self.inner,
            "layer_norm_epsilon": self.epsilon,
            "activation_function": self.activation,
            "tie_word_embeddings": self.tied,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "resid_pdrop": 0.0,
        }
