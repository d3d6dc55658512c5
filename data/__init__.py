"""Dialogues and what ships with the package: samples, knowledge and the embedded backbone."""
