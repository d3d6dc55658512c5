"""The page's pictograms: strokes on a field of 24 by 24 that take the colour of the text."""

from __future__ import annotations

PATHS = {
    "copy": "M9 9h11v11H9zM5 15H4V4h11v1",
    "like": "M7 11v9H4v-9zM7 11l4-8c2 0 3 1 3 3l-1 4h6c1 0 2 1 2 2l-2 7c0 1-1 1-2 1H7",
    "dislike": "M7 13V4H4v9zM7 13l4 8c2 0 3-1 3-3l-1-4h6c1 0 2-1 2-2l-2-7c0-1-1-1-2-1H7",
    "retry": "M20 5v5h-5M4 19v-5h5M19 10a7.5 7.5 0 0 0-13-3L4 9M5 14a7.5 7.5 0 0 0 13 3l2-2",
    "edit": "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
    "undo": "M9 7L4 12l5 5M4 12h10a6 6 0 0 1 6 6",
    "left": "M14 6l-6 6 6 6",
    "right": "M10 6l6 6-6 6",
    "delete": "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
    "plus": "M12 5v14M5 12h14",
    "menu": "M4 7h16M4 12h16M4 17h16",
    "close": "M6 6l12 12M18 6L6 18",
    "theme": "M12 3v18a9 9 0 0 0 0-18zM12 3a9 9 0 0 0 0 18",
    "panel": "M4 5h16v14H4zM15 5v14",
    "beside": "M4 5h7v14H4zM13 5h7v14h-7z",
    "attach": "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.5 3.5 0 0 1 5 5l-8.5 8.5a2 2 0 0 1-3-3L14 7",
    "more": "M5 12h.01M12 12h.01M19 12h.01",
}


def icon(name: str) -> str:
    """The pictogram as inline SVG, hidden from screen readers: the button around it has a label."""
    return (
        f'<svg class="ab-icon" viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor"'
        f' stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        f'<path d="{PATHS[name]}"/></svg>'
    )
