"""The types of adapter, and what of `[adapter]` in skill.toml each reads: names alone, so that commands start fast."""

from __future__ import annotations

# Type -> the settings that it reads beside `type`.
ADAPTERS: dict[str, tuple[str, ...]] = {
    "residual": ("bottleneck", "first_layer", "on"),
    "houlsby": ("bottleneck", "norm", "first_layer", "on"),
    "pfeiffer": ("bottleneck", "first_layer", "on"),
    "parallel": ("bottleneck", "scale", "first_layer", "on"),
    "lora": ("rank", "scale", "targets", "first_layer", "on"),
    "prefix": ("length", "bottleneck", "first_layer", "on"),
    "mam": ("length", "bottleneck", "scale", "first_layer", "on"),
    "pals": ("bottleneck", "heads", "first_layer"),
    "k_adapter": ("bottleneck", "heads", "blocks", "depth"),
    "full": ("first_layer", "on"),
}
