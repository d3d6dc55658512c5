"""Readers of a user's own texts: what becomes a passage, what is left out, and files that cannot be read."""

from __future__ import annotations

import bz2
import json
import os
from pathlib import Path

import pytest

from adapterbot.errors import KnowledgeError
from adapterbot.knowledge.passages.readers import files_of, passages_of

DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">
  <siteinfo><sitename>Wikipedia</sitename><namespaces><namespace key="0" /></namespaces></siteinfo>
{}</mediawiki>
"""


def page(title: str, text: str, ns: int = 0, extra: str = "") -> str:
    body = text.replace("&", "&amp;").replace("<", "&lt;")
    revision = (
        f'<revision><id>7</id><contributor><username>A</username></contributor><text bytes="9">{body}</text></revision>'
    )
    return f"<page><title>{title}</title><ns>{ns}</ns><id>1</id>{extra}{revision}</page>\n"


def read(path: Path, content: str | bytes) -> list[tuple[str, str]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(passages_of(path))


def test_text_is_cut_into_passages_under_the_files_name(tmp_path: Path) -> None:
    text = "\ufeffTea is hot.\r\nIt is <i>brewed</i>.\r\n\r\n" + "Milk is white and it is cold. " * 15
    found = read(tmp_path / "my_hot-drinks.txt", text)
    assert {title for title, _ in found} == {"my hot drinks"}
    assert found[0][1].startswith("Tea is hot. It is brewed. Milk is white")
    assert all(text.endswith("cold.") for _, text in found)


MARKDOWN = """---
layout: page
---
Before *any* heading.

# Ferry
Every day.
> Bring water.

## Prices #
| who | price |
|-----|------:|
| adult | 2 euros |

1. First *item*.
- [x] Second item.

```sh
# no heading
```
[1]: https://a.example
***
Old days
--------
It was <u>free</u>.

# Other
"""


def test_markdown_is_titled_by_its_headings(tmp_path: Path) -> None:
    assert read(tmp_path / "guide.md", MARKDOWN) == [
        ("guide", "Before any heading."),
        ("Ferry", "Every day. Bring water."),
        ("Ferry > Prices", "who, price adult, 2 euros First item. Second item."),
        ("Ferry > Old days", "It was free."),
    ]
    assert read(tmp_path / "rule.md", "---\nA text.\n\n---\nMore.") == [("rule", "A text. More.")]


def test_jsonl_lines_are_cut_and_made_plain(tmp_path: Path) -> None:
    lines = [
        {"title": "T <b>x</b>", "text": "A <i>b</i>. " + "Then it rained again. " * 25, "more": 1},
        {"title": "U", "text": "<hr>"},
    ]
    found = read(tmp_path / "p.jsonl", "\n\n".join(json.dumps(line) for line in lines))
    assert [title for title, _ in found] == ["T x", "T x"]
    assert found[0][1].startswith("A b. Then it rained again.")


@pytest.mark.parametrize("ending", [".xml", ".xml.bz2", ".XML"])
def test_a_wikipedia_dump_gives_the_beginning_of_its_articles(ending: str, tmp_path: Path) -> None:
    long = "The '''tea''' plant grows slowly on high hills. " * 60
    pages = [
        page("Tea &amp; milk", "{{Infobox}}'''Tea''' is a [[drink]].\n\nIt is hot.\n== History ==\nOld."),
        page("Talk:Tea", "Hello.", ns=1),
        page("Chai", "#REDIRECT [[Tea]]", extra='<redirect title="Tea" />'),
        page("Tee", "#weiterleitung [[Tea]]"),
        page("Tea (disambiguation)", "Tea may be:\n{{Disambiguation}}"),
        page("Plant", long),
        page("Empty", ""),
    ]
    content = DUMP.format("".join(pages)).encode()
    found = read(tmp_path / f"dump{ending}", bz2.compress(content) if ending.endswith("bz2") else content)
    assert found[0] == ("Tea & milk", "Tea is a drink. It is hot.")
    assert [title for title, _ in found[1:]] == ["Plant"] * 3
    assert all(text.endswith("hills.") for _, text in found[1:])


LAUGHS = '<?xml version="1.0"?><!DOCTYPE mediawiki [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
WHOLE = DUMP.format(page("Tea", "Tea is hot.")).encode()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"ok\nn\xe9", r"a\.txt:2: not UTF-8 \(byte 1\); convert"),
        ("a.md", "n".encode("utf-16"), r"a\.md:1: not UTF-8 \(byte 0\)"),
        ("a.jsonl", b'{"title": "T", "text": "x"}\n{"title": "\xff"}', r"a\.jsonl:2: not UTF-8"),
        ("a.jsonl", b'\n{"title": "T"}', r"a\.jsonl:2: a passage is an object"),
        ("a.jsonl", b"[" * 200_000, r"a\.jsonl:1: not JSON"),
        ("a.txt", b"x" * (16 * 2**20 + 1), r"a\.txt: cannot be read: line 1 is longer than 16 MB"),
        ("a.xml", b"<rss><page></page></rss>", r"a\.xml: not a Wikipedia dump: it begins with <rss>"),
        ("a.xml", b"no XML at all", r"a\.xml:1: damaged or cut off XML"),
        ("a.xml", b"", r"a\.xml:1: damaged or cut off XML"),
        ("a.xml", WHOLE[:-40], r"a\.xml:\d: damaged or cut off XML"),
        ("a.xml", WHOLE.replace(b"hot", b"h\xe9t"), r"a\.xml:3: damaged or cut off XML"),
        ("a.xml", LAUGHS.encode() + WHOLE.replace(b"hot", b"&b;"), r"a\.xml:1: has a DTD"),
        ("a.xml", LAUGHS.encode("utf-16") + WHOLE.decode().encode("utf-16-le"), r"a\.xml:1: has a DTD"),
        ("a.xml.bz2", bz2.compress(WHOLE)[:-20], r"a\.xml\.bz2: cut off in the middle; download it again"),
        ("a.xml.bz2", WHOLE, r"a\.xml\.bz2: not a bz2 file, or damaged"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match=message):
        read(tmp_path / name, content)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.jsonl"])
def test_a_line_of_a_megabyte_is_read(name: str, tmp_path: Path) -> None:
    text = "Tea is a hot drink from far away. " * 30_000
    content = json.dumps({"title": "T", "text": text}) if name.endswith("jsonl") else text
    found = read(tmp_path / name, content)
    assert sum(len(text.split()) for _, text in found) == 8 * 30_000
    assert read(tmp_path / "word.txt", "x" * 2**20)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.jsonl"])
def test_an_empty_file_has_no_passages(name: str, tmp_path: Path) -> None:
    assert read(tmp_path / name, b"") == read(tmp_path / name, b"\xef\xbb\xbf \r\n\n") == []


def test_a_folder_gives_its_files_but_no_hidden_and_outside_ones(tmp_path: Path) -> None:
    folder, outside = tmp_path / "texts", tmp_path / "outside"
    for place in (folder / "sub", folder / ".git", outside):
        place.mkdir(parents=True)
    for file in (
        "b.txt",
        "a.MD",
        "sub/c.jsonl",
        "d.xml",
        "e.pdf",
        ".hidden.txt",
        ".git/f.txt",
        "../outside/secret.txt",
    ):
        (folder / file).write_text("text")
    (folder / "link.txt").symlink_to(outside / "secret.txt")
    (folder / "links").symlink_to(outside)
    (folder / "broken.txt").symlink_to(folder / "nowhere.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.txt")
    assert files_of(folder) == [folder / "a.MD", folder / "b.txt", folder / "sub" / "c.jsonl"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nosuch.txt", "there is no such file or folder"),
        ("folder", r"no file in it ends in one of \.txt \.md \.jsonl"),
        ("folder/a.pdf", r"the name has to end in one of \.txt \.md \.jsonl \.xml \.xml\.bz2"),
    ],
)
def test_paths_with_nothing_to_read(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.pdf").write_text("x")
    with pytest.raises(KnowledgeError, match=message):
        files_of(tmp_path / name)
