"""Dialogues and what ships with the package: samples and knowledge."""
