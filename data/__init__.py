"""Dialogues and what ships with the package: samples, knowledge and the embedded backbone."""

from pathlib import Path

DATA = Path(__file__).parent
