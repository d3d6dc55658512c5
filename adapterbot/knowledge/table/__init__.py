"""A table whose rows fit what was asked for."""
