"""Skills, style heads and backbones are trained here; nothing that a turn needs imports it."""
