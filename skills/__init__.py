"""One folder per skill; see any `skill.toml`."""
