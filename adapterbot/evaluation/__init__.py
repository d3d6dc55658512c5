"""How good skills, styles, claims and backbones are; nothing that a turn needs imports it."""
