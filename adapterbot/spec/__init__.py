"""What a skill's folder says: `tables` are the keys of skill.toml, `folders` finds and reads them."""
