"""The knowledge graph: what a message names, which triples come first, and the user's own files of triples."""

from __future__ import annotations

import sqlite3
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from conversations import talk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from triple_files import OWN, write

from adapterbot.data.dialogue import read_dialogues
from adapterbot.errors import KnowledgeError
from adapterbot.facts import Nothing, Triple
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.knowledge.graph.relations import asks_for, stem
from adapterbot.knowledge.graph.source import SHIPPED, GraphSource
from adapterbot.knowledge.graph.triples import read_triples
from adapterbot.spec.folders import PACKAGE_SKILLS, read_spec


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> GraphSource:
    return GraphSource([SHIPPED], Home(tmp_path_factory.mktemp("home")))


def triples(source: GraphSource, *turns: str) -> list[Triple]:
    """The triples found; nothing else may be found."""
    facts = source.retrieve(talk(*turns))
    found = [fact for fact in facts if isinstance(fact, Triple)]
    assert len(found) == len(facts)
    return found


def lines(source: GraphSource, *turns: str) -> list[str]:
    return [fact.line.replace("\t", " | ") for fact in triples(source, *turns)]


# -- what comes first ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "first"),
    [
        ("Who directed Jaws?", "Jaws | directed_by | Steven Spielberg"),
        ("who directed jaws", "Jaws | directed_by | Steven Spielberg"),
        ("When did The Matrix come out?", "The Matrix | release_year | 1999"),
        ("What genre is blade runner?", "Blade Runner | has_genre | Science Fiction"),
        ("Who plays in Titanic?", "Titanic | starred_actors | Leonardo DiCaprio"),
        ("who sings Rolling in the Deep", "Rolling in the Deep | Recorded by | Adele"),
        ("Tell me about Tolkien's books", "The Hobbit | written_by | J. R. R. Tolkien"),
        ("who wrote the Hobbit? JRR Tolkien?", "The Hobbit | written_by | J. R. R. Tolkien"),
        ("What teams did Messi play for?", "FC Barcelona | Player | Lionel Messi"),
        ("who coached Liverpool", "Jürgen Klopp | Team coached | Liverpool F.C."),
        ("who wrote 1984?", "Nineteen Eighty-Four | written_by | George Orwell"),
        ("movies from 1994", "Pulp Fiction | release_year | 1994"),
        ("Any good comedies with Bill Murray?", "Ghostbusters | starred_actors | Bill Murray"),
        ("recommend me a horror movie", "Alien | has_genre | Horror"),
        ("Did Spielberg direct Jurassic Park?", "Jurassic Park | directed_by | Steven Spielberg"),
        ("Who played in the film Us?", "Us | starred_actors | Lupita Nyong'o"),
        ("who won the 2018 world cup", "2018 FIFA World Cup | Champion | France national football team"),
    ],
)
def test_the_triple_that_answers_comes_first(message: str, first: str, graph: GraphSource) -> None:
    assert lines(graph, message)[0] == first


def test_one_name_of_a_film_and_a_book_means_what_is_asked_for(graph: GraphSource) -> None:
    assert lines(graph, "Who wrote the book Dune?")[0] == "Dune | written_by | Frank Herbert"
    assert lines(graph, "Who directed Dune?")[0] == "Dune (2021 film) | directed_by | Denis Villeneuve"
    assert lines(graph, "I like Thriller, the album")[0].startswith("Thriller (album) | Recorded by")


def test_a_follow_up_is_about_what_was_named_before(graph: GraphSource) -> None:
    jaws = ("Have you seen Jaws?", "Yes! Roy Scheider and Robert Shaw star in it.")
    assert lines(graph, *jaws, "who else starred in it?")[0] == "Jaws | starred_actors | Richard Dreyfuss"
    assert lines(graph, *jaws, "Is it a thriller?")[0] == "Jaws | has_genre | Thriller"
    emma = ("Who wrote Emma?", "Emma was written by Jane Austen.")
    more = lines(graph, *emma, "What else did she write?")
    assert more[0] == "Pride and Prejudice | written_by | Jane Austen"
    assert "Emma | written_by | Jane Austen" not in more
    assert lines(graph, *emma, "Thanks, bye!") == []


def test_something_alike_is_joined_to_what_was_named(graph: GraphSource) -> None:
    found = lines(graph, "Can you suggest a movie like Inception?")
    assert found[:2] == [f"{film} | directed_by | Christopher Nolan" for film in ("Inception", "The Dark Knight")]
    books = {line.split(" | ")[0] for line in lines(graph, "recommend me a book like Dune")}
    assert "The Time Machine" in books
    assert not books & {"Alien", "Star Wars"}


def test_facts_are_triples_about_an_entity_best_first_within_the_limit(home: Home) -> None:
    facts = triples(GraphSource([SHIPPED], home, limit=3), "Tell me about Jaws.")
    assert [fact.line.split("\t") for fact in facts] == [[f.subject, f.relation, f.object] for f in facts]
    assert {(fact.heading, fact.source) for fact in facts} == {("Jaws", "graph")}
    assert [fact.score for fact in facts] == sorted((fact.score for fact in facts), reverse=True)
    assert len({fact.relation for fact in facts}) == 3  # one of each relation before a second


# -- what is no name -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "I need it now",
        "get out of here",
        "i read her book yesterday",
        "Let it be, I have to go up to my room",
        "Her cat is up in the tree. It is frozen.",
        "she won the heat and set a new speed record",
        "I have 1917 unread mails and 21 tabs open",
        "HELP I NEED IT UP THERE",
        "",
        "…",
    ],
)
def test_everyday_words_are_no_names(message: str, graph: GraphSource) -> None:
    assert lines(graph, message) == []


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Do you like Heat?", "Heat"),
        ("have you seen the film up?", "Up"),
        ("My favourite is 'Her', I think", "Her"),
        ("I watched the movie called frozen", "Frozen"),
        ("I know a song, yesterday by the beatles", "The Beatles"),
        ("who directed heat", "Heat"),
        ("I like the novel it!", "It"),
        ("Get Out was scary", "Get Out"),
    ],
)
def test_everyday_words_are_names_where_something_shows_it(message: str, name: str, graph: GraphSource) -> None:
    assert name in {fact.heading for fact in graph.retrieve(talk(message))}


def test_the_longest_name_wins(graph: GraphSource) -> None:
    found = graph.retrieve(talk("What do you know about the godfather part ii?"))
    assert {fact.heading for fact in found} == {"The Godfather Part II"}


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
@example(["\ud800 Jaws\0", "' OR 1=1 --", '"}) DETACH DELETE n //', "\t\t"])
@example(["Jaws " * 30_000])
def test_any_message_finds_the_same_facts_twice(graph: GraphSource, turns: list[str]) -> None:
    found = graph.retrieve(talk(*turns))
    assert found == graph.retrieve(talk(*turns))
    assert len(found) <= 5


def test_no_user_turn_no_facts(graph: GraphSource) -> None:
    assert graph.retrieve(History()) == []
    assert graph.retrieve(History().add_bot("Jaws is a film by Steven Spielberg.")) == []


@pytest.mark.parametrize("name", ['"}) DETACH DELETE n //', "'; DROP TABLE triple; --", "O'Neil \" OR 1=1", "<b>&</b>"])
def test_a_name_is_never_a_query(name: str, home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "own.tsv", f"{name}\tdirected_by\tMara Oduya\n{OWN}")
    source = GraphSource([path], home)
    assert source.retrieve(talk(f"Who directed {name}?"))[0].line == f"{name}\tdirected_by\tMara Oduya"
    assert len(source.retrieve(talk("Which films did Mara Oduya direct?"))) >= 2
    assert len(source.retrieve(talk("Tell me about Quiet Harbour."))) == 3


# -- relations -------------------------------------------------------------------------------------------------------


def test_a_relation_is_asked_for_by_its_own_words_or_by_others() -> None:
    assert {stem(word) for word in ("directed", "director", "directs", "directing")} == {"direct"}
    assert asks_for("directed_by", ["who", "directs"]) == 2
    assert asks_for("written_by", ["author"]) == 1
    assert asks_for("Film Executive Produced", ["producer"]) == 2
    assert asks_for("release_year", ["come", "by"]) == 0
    assert asks_for("release_year", ["did", "come", "out"]) == 1


def test_the_shipped_triples_are_valid_and_never_twice() -> None:
    triples = list(read_triples(SHIPPED))
    assert len(triples) > 1_500
    assert len(set(triples)) == len(triples)
    once = Counter(t.subject for t in triples if t.relation == "release_year")
    assert max(once.values()) == 1, "a work came out in one year"
    names = {name for t in triples if t.relation != "alias" for name in (t.subject, t.object)}
    assert {t.subject for t in triples if t.relation == "alias"} <= names


def test_the_examples_are_what_the_source_finds(graph: GraphSource, home: Home) -> None:
    known = {triple.line for triple in read_triples(SHIPPED)}
    folder = PACKAGE_SKILLS / "graph"
    dialogues = list(read_dialogues(folder / "examples.jsonl"))
    assert len(dialogues) >= 80
    assert {fact for d in dialogues for turn in d.turns for fact in turn.knowledge} <= known
    spec = read_spec(folder)
    (nothing,) = open_source(Opening(spec, home)).retrieve(talk("hm"))
    assert isinstance(nothing, Nothing)
    assert nothing.line == spec.knowledge.when_empty


# -- the cache -------------------------------------------------------------------------------------------------------


def test_the_cache_follows_the_files(home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "own.tsv")
    assert len(lines(GraphSource([path], home), "Who directed Quiet Harbour?")) == 3
    (kept,) = home.knowledge.glob("*.sqlite3")
    before = kept.stat().st_mtime_ns
    GraphSource([path], home)
    assert kept.stat().st_mtime_ns == before
    write(path, OWN.replace("Mara Oduya", "Ines Falk"))
    assert "Ines Falk" in lines(GraphSource([path], home), "Who directed Quiet Harbour?")[0]
    kept.write_bytes(b"damaged")
    assert "Ines Falk" in lines(GraphSource([path], home), "Who directed Quiet Harbour?")[0]


def test_without_a_place_for_the_cache_it_stays_in_memory(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert len(lines(GraphSource([write(tmp_path / "own.tsv")], Home(blocked)), "Who directed Quiet Harbour?")) == 3


def test_a_cache_that_breaks_later_is_named(home: Home, tmp_path: Path) -> None:
    source = GraphSource([write(tmp_path / "own.tsv")], home)
    (kept,) = home.knowledge.glob("*.sqlite3")
    with sqlite3.connect(kept) as other:
        other.execute("DROP TABLE name")
    with pytest.raises(KnowledgeError, match=r"triples-.*remove it"):
        source.retrieve(talk("Who directed Quiet Harbour?"))


def test_threads_find_the_same(graph: GraphSource) -> None:
    expected, found = lines(graph, "Who directed Jaws?"), list[list[str]]()
    threads = [threading.Thread(target=lambda: found.append(lines(graph, "Who directed Jaws?"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_a_large_graph_answers_quickly(home: Home, tmp_path: Path) -> None:
    """200,000 triples with a genre that 60,000 films share; processor time, whatever else the machine does."""
    films = range(60_000)
    made = [f"Film Number {i}\thas_genre\tMelodrama" for i in films]
    made += [f"Film Number {i}\tdirected_by\tPerson Name{i % 9_000}" for i in films]
    made += [f"Film Number {i}\tstarred_actors\tPerson Name{(7 * i) % 9_000}" for i in films]
    made += [f"Film Number {i}\trelease_year\t{1950 + i % 70}" for i in films[:20_000]]
    source = GraphSource([write(tmp_path / "large.tsv", "\n".join(made))], home)
    asked = [
        talk(f"Is there a melodrama like Film Number {i * 1009} with Person Name{i} from 1980?") for i in range(40)
    ]
    spent = [[_seconds(source, history) for history in asked] for _ in range(3)]
    best = [min(times) for times in zip(*spent, strict=True)]  # a neighbour on the same core slows single runs
    assert statistics.quantiles(best, n=20)[-1] < 0.020


def _seconds(source: GraphSource, history: History) -> float:
    started = time.thread_time()
    assert source.retrieve(history)
    return time.thread_time() - started
