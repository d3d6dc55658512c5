"""What the tests of the graph share."""

from __future__ import annotations

from pathlib import Path

OWN = """Quiet Harbour\tdirected_by\tMara Oduya
Quiet Harbour\tstarred_actors\tLeo Brandt
Quiet Harbour\thas_genre\tThriller
"""


def write(path: Path, text: str = OWN) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
