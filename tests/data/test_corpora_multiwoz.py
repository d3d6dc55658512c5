"""The reader of MultiWOZ, on dialogues and a database of our own in the form of the corpora."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from adapterbot.data.corpora import multiwoz
from adapterbot.data.dialogue import Dialogue
from adapterbot.errors import DataError
from adapterbot.language.values import unsupported

FEN = {"address": "3 mill end", "area": "north", "internet": "yes", "parking": "no", "name": "fenland lodge"}
FEN |= {"phone": "01632960111", "postcode": "zz12ab", "pricerange": "cheap", "stars": "4", "type": "guesthouse"}
PLUM = {"address": "9 long row", "area": "east", "food": "thai", "name": "the plum", "phone": "01632960222"}
PLUM |= {"postcode": "zz34cd", "pricerange": "moderate", "type": "restaurant"}
TRAIN = {"arriveBy": "09:40", "day": "monday", "departure": "alden", "destination": "birk", "duration": "35 minutes"}
TRAIN |= {"leaveAt": "09:05", "price": "7.50 pounds", "trainID": "TR1234"}
DATABASE = {"hotel": [FEN], "restaurant": [PLUM], "train": [TRAIN, TRAIN | {"trainID": "TR9999", "day": "friday"}]}

Said = tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, list[str]]


def line(row: dict[str, str]) -> str:
    return ", ".join(f"{column}: {value}" for column, value in row.items())


def exchange(user: str, reply: str, acts: str = "", rows: list[str] | None = None) -> list[dict[str, Any]]:
    return [
        {"speaker": "user", "text": user},
        {"speaker": "system", "text": reply, "label": acts, "knowledge": rows or []},
    ]


def corpora(tmp_path: Path, *said: Said, of: str = "", folder: str = "multiwoz") -> Path:
    """A corpora folder with one dialogue to train on and one to validate on."""
    turns = [turn for exchanged in said for turn in exchange(*exchanged)]
    item: dict[str, Any] = {"turns": turns, "domain": of}
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for part in ("train", "valid"):
        text = json.dumps({"id": f"{folder}-{part}-1", **item})
        (tmp_path / folder / f"{part}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    with gzip.open(tmp_path / "multiwoz" / "db.json.gz" if folder == "multiwoz" else tmp_path / "x", "wt") as stream:
        json.dump(DATABASE, stream)
    return tmp_path


def read(tmp_path: Path, domain: str, *said: Said, **options: str) -> list[Dialogue]:
    return multiwoz.read(corpora(tmp_path, *said, **options), domain)["valid"]


def learnt(dialogues: list[Dialogue]) -> list[tuple[str, tuple[str, ...]]]:
    """The replies that are learnt from, with their facts."""
    return [(t.text, t.knowledge) for d in dialogues for i, t in enumerate(d.turns) if i and t.speaker == "system"]


def test_one_domain_is_cut_out_of_a_dialogue_that_crosses_several(tmp_path: Path) -> None:
    said: list[Said] = [
        (
            "A cheap room in the north.",
            "Try Fenland Lodge.",
            "Hotel-Recommend | hotel area=north",
            [line(FEN), line(PLUM)],
        ),
        ("Great.", "Shall I look for food too?", "general-reqmore | hotel area=north"),
        ("Yes, thai food.", "The Plum has thai food.", "Restaurant-Inform", [line(PLUM)]),
        ("And its number?", "It is 01632960222.", "Restaurant-Inform"),
    ]
    (hotel,) = read(tmp_path, "hotel", *said)
    assert hotel.domain == "hotel"
    assert [t.text for t in hotel.turns[:2]] == ["A cheap room in the north.", "Try Fenland Lodge."]
    assert hotel.turns[1].knowledge == (line(FEN | {"name": "Fenland Lodge"}),)
    (restaurant,) = read(tmp_path, "restaurant", *said)
    plain = {column: PLUM[column] for column in multiwoz.COLUMNS["restaurant"]}
    # without `type`, in the order of the columns, with the reply's own spelling; the row stays with what follows
    facts = [knowledge for _, knowledge in learnt([restaurant])]
    assert facts == [(line(plain | {"name": "The Plum"}),), (line(plain),)]
    assert len({d.id for d in multiwoz.read(tmp_path, "")["valid"]}) == 2


def test_what_books_is_left_out_and_offers_are_cut_off(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "hotel",
        ("I want a room at Fenland Lodge.", "Fenland Lodge is cheap. Would you like me to book it?", "Hotel-Inform"),
        ("Yes, for two.", "Booking was successful. Reference number is: AB12CD34.", "Booking-Book"),
        ("What is the phone number?", "It is 01632960111.", "Hotel-Inform"),
        ("Book it.", "How many nights will you stay?", "Booking-Request"),
        ("And the address?", "It is 3 Mill End.", "Hotel-Inform"),
    )
    assert [text for text, _ in learnt(found)] == ["Fenland Lodge is cheap.", "It is 3 Mill End."]
    # a run goes on from what was said before it, which is heard but not learnt; from a booking none goes on
    assert found[1].turns[0].speaker == "system"
    assert not [t for d in found for t in d.turns if "AB12CD34" in t.text]


def test_what_a_reply_says_stands_in_its_facts_or_was_said(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "restaurant",
        ("I want to eat.", "What kind of food do you like?", "Restaurant-Request"),
        ("Thai food.", "There are twelve of them. Which area?", "Restaurant-Inform"),
        ("Any area.", "The Plum is on 9 Long Row, postcode ZZ3 4CD.", "Restaurant-Inform"),
        ("What about greek food?", "Sorry, there are no greek restaurants.", "Restaurant-NoOffer"),
        ("And then?", "You could call 01632960999 in Oxford.", "Restaurant-Inform"),
        ("Thanks, bye.", "Goodbye.", "general-bye"),
    )
    ask, count, row, none = learnt(found)
    assert ask[1][0].startswith("restaurant: ")
    assert ask[1][0].endswith(" found")
    assert count[1] == ("restaurant: 12 found",)
    assert "postcode: ZZ3 4CD" in row[1][0]
    assert "address: 9 Long Row" in row[1][0]
    assert none[1] == ("restaurant: none",)


def test_a_train_gets_its_row_from_the_timetable(tmp_path: Path) -> None:
    asked = "From Alden to Birk on monday, please."
    found = read(
        tmp_path,
        "train",
        (asked, "One leaves at 9:05 and costs 7.5 GBP.", "Train-Inform"),
        ("Any other?", "There is one at 11:05.", "Train-Inform"),
        (asked, "TR1234 takes 35 minutes. Shall I reserve a seat?", "Train-OfferBook"),
    )
    (first, facts), (second, same) = learnt(found)
    assert first == "One leaves at 09:05 and costs 7.50 pounds."
    assert second == "TR1234 takes 35 minutes."
    assert facts == same == (line(TRAIN | {"departure": "alden"}),)


def test_a_taxi_is_never_ordered(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "taxi",
        ("I need a taxi.", "Where are you leaving from?"),
        ("From home.", "Your car will be a red ford, contact number 01632960333."),
        of="taxi",
    )
    assert [text for text, _ in learnt(found)] == ["Where are you leaving from?"]


def test_restaurants_come_from_three_corpora(tmp_path: Path) -> None:
    said: Said = ("Is there thai food?", "The Plum has it.", "", [line(PLUM)])
    for folder in ("multiwoz", "camrest", "woz"):
        corpora(tmp_path, said, of="restaurant", folder=folder)
    ids = [d.id for d in multiwoz.read(tmp_path, "restaurant")["train"]]
    assert ids == [f"{folder}-train-1-restaurant-1" for folder in multiwoz.FOLDERS]
    assert multiwoz.read(tmp_path, "hotel")["train"] == []


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder 'multiwoz'"):
        multiwoz.read(tmp_path, "hotel")
    with pytest.raises(DataError, match=r"not for 'hospital'; there are: restaurant, hotel"):
        multiwoz.read(tmp_path, "hospital")
    folder = corpora(tmp_path, ("Hi.", "Hello.", "general-greet"))
    (folder / "multiwoz" / "db.json.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"db\.json\.gz: cannot be read"):
        multiwoz.read(folder, "hotel")
    (folder / "multiwoz" / "db.json.gz").unlink()
    assert multiwoz.read(folder, "hotel") == {"train": [], "valid": []}


@pytest.mark.corpora
@pytest.mark.parametrize("domain", multiwoz.COLUMNS)
def test_the_real_corpora_have_hundreds_of_dialogues_of_a_domain(domain: str, corpora: Path) -> None:
    found = multiwoz.read(corpora, domain)
    assert len(found["train"]) > 200
    assert len(found["valid"]) > 10
    everything = [d for part in found.values() for d in part]
    assert len({d.id for d in everything}) == len(everything)
    for dialogue in everything:
        for i, turn in enumerate(dialogue.turns):
            if i and turn.speaker == "system":
                assert not multiwoz.BOOKED.search(turn.text)
                assert not unsupported(turn.text, turn.knowledge, [t.text for t in dialogue.turns[:i]])
