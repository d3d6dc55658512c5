"""How good skills, styles and claims are; nothing that a turn needs imports it."""
