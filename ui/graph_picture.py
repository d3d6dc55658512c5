"""The triples of one reply as a small drawing (SVG): the entity in the middle, what it is joined to around it.

Strings alone: no script, no reference to anything outside, every text escaped; lines and letters take the page's
colour.
"""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain

from adapterbot.facts import Fact, Triple

MOST_EDGES = 8
MOST_NODES = 9
LETTERS = 20  # of a name that are shown; the whole stands in its title
WIDTH = 480
HEIGHT = 360
# radii of the ellipse
ACROSS = 150
DOWN = 138
# height of a name's box, width of a letter at this size, and of both margins
BOX = 26
LETTER = 6.9
PADDING = 18
FRAME = 6  # around all of it
HEAD = 8  # length of an arrow's head
# Degrees, clockwise from the right, for 1 to 8 names around the middle; none right beside it, where no label would fit.
ANGLES = (
    (90,),
    (-90, 90),
    (-90, 35, 145),
    (-130, -50, 50, 130),
    (-90, -24, 45, 135, 204),
    (-90, -28, 28, 90, 152, 208),
    (-90, -35, 14, 50, 130, 166, 215),
    (-90, -42, -14, 30, 90, 150, 194, 222),
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
Point = tuple[float, float]
Edge = tuple[str, str, str]


def picture(facts: Sequence[Fact]) -> str:
    """An `<svg>` of those facts that are triples; empty when none is."""
    edges = _edges(facts)
    if not edges:
        return ""
    places = _places(edges, _middle(facts, edges))
    lines = "".join(_arrow(places[subject], places[other], subject, other) for subject, _, other in edges)
    names = "".join(_name(name, place, first=i == 0) for i, (name, place) in enumerate(places.items()))
    labels = "".join(_label(edge, places) for edge in edges)
    frame = _frame(places)
    about = _escaped("; ".join(" ".join(edge) for edge in edges))
    return (
        f'<svg class="ab-graph" role="img" viewBox="{frame}" width="{frame.split()[2]}" xmlns="http://www.w3.org/2000/svg"'
        f' fill="none" stroke="currentColor" font-family="sans-serif" font-size="12"><title>{about}</title>'
        f"{lines}{names}{labels}</svg>"
    )


def _frame(places: dict[str, Point]) -> str:
    """The part of the drawing that holds something, so that it fills the card it stands in."""
    left = min(x - _width(name) / 2 for name, (x, _) in places.items()) - FRAME
    right = max(x + _width(name) / 2 for name, (x, _) in places.items()) + FRAME
    top = min(y for _, y in places.values()) - BOX / 2 - FRAME
    bottom = max(y for _, y in places.values()) + BOX / 2 + FRAME
    return f"{left:.1f} {top:.1f} {right - left:.1f} {bottom - top:.1f}"


def _edges(facts: Sequence[Fact]) -> list[Edge]:
    """The triples that fit into the picture, each once."""
    chosen = dict[Edge, None]()
    for fact in facts:
        if not isinstance(fact, Triple) or len(chosen) == MOST_EDGES:
            continue
        subject, relation, other = (
            CONTROL.sub(" ", part).strip() for part in (fact.subject, fact.relation, fact.object)
        )
        if not (subject and relation and other):
            continue
        nodes = {name for s, _, o in chosen for name in (s, o)} | {subject, other}
        if subject != other and len(nodes) <= MOST_NODES:
            chosen[subject, relation, other] = None
    return list(chosen)


def _middle(facts: Sequence[Fact], edges: Sequence[Edge]) -> str:
    """The name that most triples share; among equals the entity that the first fact is about."""
    counts = Counter(chain.from_iterable((subject, other) for subject, _, other in edges))
    titles = [fact.note for fact in facts]
    return max(counts, key=lambda name: (counts[name], -titles.index(name) if name in titles else -len(titles)))


def _places(edges: Sequence[Edge], middle: str) -> dict[str, Point]:
    """Where each name stands, the middle first. Names that are joined to a neighbour stand beside it."""
    order = list[str]()
    waiting = [middle]
    left = list(dict.fromkeys(chain.from_iterable((subject, other) for subject, _, other in edges)))
    while waiting or left:
        name = waiting.pop(0) if waiting else left[0]
        if name not in left:
            continue
        left.remove(name)
        order.append(name)
        joined = [o if s == name else s for s, _, o in edges if name in (s, o)]
        waiting = [*joined, *waiting] if name != middle else joined
    angles = ANGLES[len(order) - 2]
    centre = (WIDTH / 2, HEIGHT / 2)
    around = [(centre[0] + ACROSS * math.cos(a), centre[1] + DOWN * math.sin(a)) for a in map(math.radians, angles)]
    return dict(zip(order, [centre, *around], strict=True))


def _arrow(start: Point, end: Point, subject: str, other: str) -> str:
    """A line from box to box with a head at the object."""
    (x1, y1) = _edge_of(start, end, subject)
    (x2, y2) = _edge_of(end, start, other)
    length = math.hypot(x2 - x1, y2 - y1) or 1.0
    dx = (x2 - x1) / length
    dy = (y2 - y1) / length
    bx = x2 - HEAD * dx
    by = y2 - HEAD * dy
    head = f"{x2:.1f},{y2:.1f} {bx - dy * 4:.1f},{by + dx * 4:.1f} {bx + dy * 4:.1f},{by - dx * 4:.1f}"
    return (
        f'<path d="M{x1:.1f} {y1:.1f}L{bx:.1f} {by:.1f}" opacity="0.5"/>'
        f'<polygon points="{head}" fill="currentColor" stroke="none" opacity="0.7"/>'
    )


def _edge_of(at: Point, towards: Point, name: str) -> Point:
    """Where the line from the middle of a name's box leaves it."""
    dx = towards[0] - at[0]
    dy = towards[1] - at[1]
    across = _width(name) / 2 / abs(dx) if dx else math.inf
    share = min(across, BOX / 2 / abs(dy) if dy else math.inf, 0.5)
    return at[0] + dx * share, at[1] + dy * share


def _name(name: str, place: Point, *, first: bool) -> str:
    width = _width(name)
    weight = ' font-weight="700"' if first else ""
    return (
        f'<g><title>{_escaped(name)}</title><rect class="ab-node" x="{place[0] - width / 2:.1f}"'
        f' y="{place[1] - BOX / 2:.1f}" width="{width:.1f}" height="{BOX}" rx="{BOX / 2}"'
        f' stroke-width="{2 if first else 1}"/><text x="{place[0]:.1f}" y="{place[1] + 4:.1f}" text-anchor="middle"'
        f' fill="currentColor" stroke="none"{weight}>{_escaped(_cut(name))}</text></g>'
    )


def _label(edge: Edge, places: dict[str, Point]) -> str:
    """The relation's name half-way along its line, above the lines."""
    subject, relation, other = edge
    start = _edge_of(places[subject], places[other], subject)
    end = _edge_of(places[other], places[subject], other)
    x = (start[0] + end[0]) / 2
    y = (start[1] + end[1]) / 2
    return (
        f'<text class="ab-relation" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="11" font-style="italic"'
        f' fill="currentColor" stroke="none"><title>{_escaped(relation)}</title>'
        f"{_escaped(_cut(relation.replace('_', ' ')))}</text>"
    )


def _width(name: str) -> float:
    return LETTER * len(_cut(name)) + PADDING


def _cut(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1].rstrip() + "…"


def _escaped(text: str) -> str:
    """`text` as inert XML; half a surrogate pair becomes '?'."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))
