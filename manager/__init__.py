"""2 · The dialogue manager: which skill answers this turn."""
