"""Files of triples: the forms that are read, what is refused, and the user's own beside ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from conversations import skill, talk
from hypothesis import given
from hypothesis import strategies as st
from triple_files import OWN, write

from adapterbot.errors import KnowledgeError
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.knowledge.graph.source import GraphSource, imported
from adapterbot.knowledge.graph.triples import LONGEST, Triple, read_triples

add, remove = GraphSource.add, GraphSource.remove


def test_added_triples_are_used_together_with_ours(home: Home, tmp_path: Path) -> None:
    told: list[int] = []
    assert add(write(tmp_path / "own.tsv", OWN + OWN), home, "graph", told.append) == "3 triples, 4 entities"
    assert told[-1] == 6
    source = open_source(Opening(skill(tmp_path, source="graph"), home))
    assert source.retrieve(talk("Who directed quiet harbour?"))[0].line == "Quiet Harbour\tdirected_by\tMara Oduya"
    assert source.retrieve(talk("Who directed Jaws?"))[0].heading == "Jaws"
    assert remove(home, "graph") == "removed"
    assert remove(home, "graph").startswith("nothing")
    again = open_source(Opening(skill(tmp_path, source="graph"), home))
    assert again.retrieve(talk("Who directed quiet harbour?")) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("opendialkg_triples.txt", "Mara Oduya\t~directed_by\tQuiet Harbour\n"),
        ("own.csv", 'Subject,Relation,Object\n"Quiet Harbour",directed_by,"Mara\nOduya"\n\n'),
        ("own.tsv", "\ufeffQuiet  Harbour \tdirected_by\tMara\x1fOduya\r\n\n"),
    ],
)
def test_other_forms_are_read_as_well(name: str, text: str, tmp_path: Path) -> None:
    assert list(read_triples(write(tmp_path / name, text))) == [Triple("Quiet Harbour", "directed_by", "Mara Oduya")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"x\ty\tz\nx\ty\n", r"a\.tsv:2: 2 column\(s\) instead of three"),
        ("a.tsv", b"x\ty\tz\tw\n", r"a\.tsv:1: 4 column"),
        ("a.tsv", b"x\t \tz\n", "the relation is empty"),
        ("a.tsv", b"x\t~\tz\n", "the relation is empty"),
        ("a.tsv", b"x\ty\tz\nn\xe9\ty\tz\n", r"a\.tsv:2: not UTF-8 \(byte 1\)"),
        ("a.tsv", b"x\ty\t" + b"z" * (LONGEST + 1), f"has {LONGEST + 1} characters; at most {LONGEST}"),
        ("a.tsv", b"x" * 10**6, r"a\.tsv:1: longer than"),
        ("a.tsv", b"\n \n", "no triples"),
        ("a.csv", b'x,y,"z\n', r"a\.csv:\d: not CSV"),
        ("nosuch.tsv", None, "cannot be read: No such file"),
    ],
)
def test_bad_files_are_refused_and_the_earlier_triples_stay(
    name: str, content: bytes | None, message: str, home: Home, tmp_path: Path
) -> None:
    add(write(tmp_path / "good.tsv"), home, "graph")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(KnowledgeError, match=message):
        add(tmp_path / name, home, "graph")
    assert [path.name for path in home.knowledge.iterdir()] == ["graph.tsv"]
    assert (home.knowledge / "graph.tsv").read_text(encoding="utf-8") == OWN


HEADINGS = [
    "Subject\tRelation\tObject",
    "subject\tpredicate\tobject",
    "head\trelation\ttail",
    "s\tp\to",
    "Source\tEdge\tTarget",
    "Entity 1\tRelationship\tEntity 2",
    "entity_1\trel\tentity_2",
    "from\ttype\tto",
    "#subject\trelation\tobject",
    "# made on Monday",
]


@pytest.mark.parametrize("form", ["tsv", "csv", "txt"])
@pytest.mark.parametrize("heading", HEADINGS)
def test_a_heading_and_comments_are_no_triples(heading: str, form: str, tmp_path: Path) -> None:
    lines = ["# mine", "", heading, "a\tknows\tb", "# a\tknows\tc", "#", '#it said "no', "c\tknows\tsubject"]
    text = "\n".join(lines) + "\n"
    path = write(tmp_path / f"own.{form}", text.replace("\t", ",") if form == "csv" else text)
    assert list(read_triples(path)) == [Triple("a", "knows", "b"), Triple("c", "knows", "subject")]


def test_what_only_looks_like_a_heading_or_a_comment_is_kept(home: Home, tmp_path: Path) -> None:
    text = 'Head,knows,Tail\nsubject,relation,object\n"#MeToo",began_in,2006\nb,said,"x\n# no comment"\n'
    kept = [
        Triple("Head", "knows", "Tail"),
        Triple("subject", "relation", "object"),
        Triple("#MeToo", "began_in", "2006"),
        Triple("b", "said", "x # no comment"),
    ]
    path = write(tmp_path / "own.csv", text)
    assert list(read_triples(path))[:2] == kept[:2]
    add(write(tmp_path / "tagged.tsv", "".join(triple.stored for triple in kept)), home, "graph")
    assert list(read_triples(home.knowledge / "graph.tsv")) == kept


def test_a_link_that_leads_out_is_refused(home: Home, tmp_path: Path) -> None:
    home.knowledge.mkdir(parents=True)
    (home.knowledge / "graph.tsv").symlink_to(write(tmp_path / "outside.tsv"))
    with pytest.raises(KnowledgeError, match="symbolic link"):
        imported(home)
    assert remove(home, "graph") == "removed"
    assert (tmp_path / "outside.tsv").exists()


@given(st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=9)] * 3)))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, triples: list[tuple[str, ...]]
) -> None:
    wanted = [Triple(s, f"r{r}", f"o{o}") for s, r, o in triples]
    path = tmp_path_factory.mktemp("written") / "all.tsv"
    assert list(read_triples(write(path, "".join(triple.stored for triple in wanted)))) == wanted
