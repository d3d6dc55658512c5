"""`python tests/sizes.py`: the long files and functions, as an alarm and not a wall.

A file of over 300 lines or a function of over 40 is answered by a split by meaning, or by one line of reason: a comment
`# Long: ...` anywhere in it. What has no reason is shown as to be looked at. Tests count as everything else.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 300
FUNCTION_LINES = 40
REASON = re.compile(r"^\s*# Long: (.+)$")


class Long(NamedTuple):
    """A file or function that is over its limit; `reason` is empty where none is given."""

    place: str
    lines: int
    reason: str


def tracked() -> list[Path]:
    """Every Python file of the checkout that is not ignored."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in sorted(set(names)) if (ROOT / name).is_file()]


def long_parts(path: Path, source: str) -> Iterator[Long]:
    """The file, if it is long, then its long functions; a reason inside a function is the function's own."""
    lines = source.splitlines()
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    inside = {number for f in functions for number in range(f.lineno, (f.end_lineno or f.lineno) + 1)}
    if len(lines) > FILE_LINES:
        yield Long(str(path), len(lines), _reason(line for n, line in enumerate(lines, 1) if n not in inside))
    for function in functions:
        body = lines[function.lineno - 1 : function.end_lineno]
        if len(body) > FUNCTION_LINES:
            yield Long(f"{path}:{function.lineno} {function.name}", len(body), _reason(body))


def _reason(lines: Iterator[str] | list[str]) -> str:
    return next((match[1] for line in lines if (match := REASON.match(line))), "")


def report() -> str:
    """Every long file and function, those without a reason first, the longest first."""
    parts = [
        part for path in tracked() for part in long_parts(path.relative_to(ROOT), path.read_text(encoding="utf-8"))
    ]
    parts.sort(key=lambda part: (bool(part.reason), -part.lines))
    rows = [f"  {part.lines:5} lines  {part.place}  {part.reason or '(to be looked at)'}" for part in parts]
    limits = f"files over {FILE_LINES} lines and functions over {FUNCTION_LINES}"
    unexplained = sum(not part.reason for part in parts)
    return "\n".join([f"sizes: {len(parts)} {limits}, {unexplained} of them to be looked at", *rows])


if __name__ == "__main__":
    print(report())
