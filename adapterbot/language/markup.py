"""3 · Plain text out of HTML, Markdown lines and wikitext, in time linear in the text, whatever is in it."""

from __future__ import annotations

import html
import re

# What HTML and wikitext know as tags; `<name>` in a letter to "Dear <name>" is none and stays.
BLOCKS = (
    "address article aside blockquote body br button canvas caption center dd details div dl dt fieldset figcaption"
)
BLOCKS += (
    " figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe legend li link main math meta"
)
BLOCKS += " nav noscript object ol option p pre section select summary table tbody td textarea tfoot th thead title tr"
BLOCKS += " ul video audio gallery includeonly noinclude onlyinclude poem script style svg template syntaxhighlight"
INLINE = (
    "a abbr b bdi bdo big cite code data del dfn em embed font i img input ins kbd label mark nobr nowiki picture q"
)
INLINE += " ref references s samp small source span strike strong sub sup time tt u var wbr"
# A tag ends at the next > or before the next <, so that an unclosed one takes no more than its own.
BLOCK_TAG = re.compile(rf"</?(?:{BLOCKS.replace(' ', '|')})(?=[\s/>])[^<>]*>", re.IGNORECASE)
INLINE_TAG = re.compile(rf"</?(?:{INLINE.replace(' ', '|')})(?=[\s/>])[^<>]*>", re.IGNORECASE)
# (what opens it, what closes it): nothing in between is text.
UNREAD_HTML = tuple(
    (re.compile(opens, re.IGNORECASE), re.compile(closes, re.IGNORECASE))
    for opens, closes in (
        (r"<!--", r"-->"),
        (r"<script(?=[\s/>])", r"</script\s*>"),
        (r"<style(?=[\s/>])", r"</style\s*>"),
    )
)
UNREAD_WIKI = tuple(
    (re.compile(rf"<{name}(?=[\s>])[^<>]*(?<!/)>", re.IGNORECASE), re.compile(rf"</{name}\s*>", re.IGNORECASE))
    for name in ("ref", "gallery", "math", "timeline", "syntaxhighlight", "imagemap", "score")
)
CONTROLS = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029, 0xFEFF), " ")

ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+.!>~|\"'<-])")
MARKDOWN = (
    (re.compile(r"<((?:https?://|mailto:)[^<>\s]+)>"), r"\1"),
    (re.compile(r"\[\^[^\[\]]*\]"), ""),
    (re.compile(r"!?\[([^\[\]]*)\]\((?:[^()]|\([^()]*\))*\)"), r"\1"),
    (re.compile(r"!?\[([^\[\]]*)\]\((?:[^()]|\([^()]*\))*\)"), r"\1"),  # a picture inside a link
    (re.compile(r"!?\[([^\[\]]*)\]\[[^\[\]]*\]"), r"\1"),
    (re.compile(r"(?<![\w*\\])\*{1,3}(?=[^\s*])|(?<=[^\s*\\])\*{1,3}(?![\w*])"), ""),
    (re.compile(r"(?<![\w\\])_{1,3}(?=[^\s_])|(?<=[^\s_\\])_{1,3}(?!\w)"), ""),
    (re.compile(r"~~|`+"), ""),
)

NESTED = re.compile(r"(\{\{|\}\}|\{\||\|\}(?!\})|\[\[|\]\])")
HEADING = re.compile(r"^==", re.MULTILINE)
CLOSED_BY = {"}}": "{{", "|}": "{|", "]]": "[["}
DEEPEST = 50  # what is nested deeper loses its brackets only
NAMESPACE = re.compile(r"\s*+:?\s*+(?:file|image|category|datei|bild|kategorie)\s*:", re.IGNORECASE)
WIKITEXT = (
    (re.compile(r"\[(?:https?:)?//[^\s\[\]]++\s*+([^\[\]]*+)\]"), r"\1"),
    (re.compile(r"'{2,5}"), ""),
    (re.compile(r"__[A-Z]{3,30}__"), ""),
    (re.compile(r"^[*#:;]+ *", re.MULTILINE), ""),
    (re.compile(r"(?<! ) *\([\s,;]*\)"), ""),  # what a template left of (born ...)
)


def clean(text: str) -> str:
    """One line without control characters and lone surrogates."""
    return " ".join(text.translate(CONTROLS).split()).encode("utf-8", "replace").decode()


def from_html(text: str) -> str:
    """The text between the tags of HTML, on one line. What is no tag stays as it is."""
    for opens, closes in UNREAD_HTML:
        text = _without(text, opens, closes)
    return clean(html.unescape(INLINE_TAG.sub("", BLOCK_TAG.sub(" ", text))))


def from_markdown(line: str) -> str:
    """The text of a line or paragraph of Markdown: no emphasis, no link targets, no HTML."""
    for pattern, text in MARKDOWN:
        line = pattern.sub(text, line)
    return from_html(ESCAPED.sub(r"\1", line))


def from_wikitext(text: str) -> list[str]:
    """The paragraphs before an article's first heading, without templates, tables, notes and pictures."""
    for opens, closes in (*UNREAD_HTML, *UNREAD_WIKI):
        text = _without(text, opens, closes)
    text = HEADING.split(_without_nested(text), maxsplit=1)[0]
    for pattern, replacement in WIKITEXT:
        text = pattern.sub(replacement, text)
    paragraphs = map(from_html, re.split(r"\n\s*\n", text))
    return [paragraph for paragraph in paragraphs if paragraph]


def _without(text: str, opens: re.Pattern[str], closes: re.Pattern[str]) -> str:
    """`text` without what stands from each `opens` to the next `closes`; what is never closed stays."""
    kept = list[str]()
    start = 0
    while (first := opens.search(text, start)) and (last := closes.search(text, first.end())):
        kept += [text[start : first.start()], " "]
        start = last.end()
    return "".join([*kept, text[start:]]) if kept else text


def _without_nested(text: str) -> str:
    """`text` without {{templates}} and {|tables|}, and with the label of each [[link]]; these may stand in each other.

    A template or table that is never closed takes the rest of what it stands in, a link only its brackets.
    """
    opened: list[tuple[str, list[str]]] = [("", [])]  # what opened each part, and its text so far
    for piece in NESTED.split(text):
        if piece in CLOSED_BY.values():
            if len(opened) < DEEPEST:
                opened.append((piece, []))
        elif piece not in CLOSED_BY:
            opened[-1][1].append(piece)
        elif any(bracket == CLOSED_BY[piece] for bracket, _ in opened):
            while _close(opened, whole=opened[-1][0] == CLOSED_BY[piece]) != CLOSED_BY[piece]:
                pass
    while len(opened) > 1:
        _close(opened, whole=False)
    return "".join(opened[0][1])


def _close(opened: list[tuple[str, list[str]]], whole: bool) -> str:
    """Put the text of the innermost part into the one around it; returns what had opened it."""
    bracket, inner = opened.pop()
    if bracket == "[[":
        text = "".join(inner)
        opened[-1][1].append(_label(text) if whole else text)
    return bracket


def _label(link: str) -> str:
    return "" if NAMESPACE.match(link) else link.rsplit("|", 1)[-1]
