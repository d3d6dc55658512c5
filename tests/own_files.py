"""Small files of people's own, one of each kind that the app takes."""

from __future__ import annotations

from adapterbot.ui import words

EVENTS = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//us//test//EN\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Dentist\r\n"
    "DTSTART:20300105T090000\r\nDTEND:20300105T093000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
RESTAURANTS = "name,area,food,phone,pricerange\nBlue Door,north,greek,555-0100,cheap\n"
CARS = "name;area;color;type;seats\nKestrel Cars;north;red;saloon;4\n"
TRIPLES = "Ben Vogel\tmarried_to\tCleo Marsh\n"
NOTES = "# The Quellmar\n\nThe Quellmar is a river of 240 km. It rises in the hills.\n"
# name: content, what it becomes first, and a question that it answers
TAKEN = {
    "mine.ics": (EVENTS, "calendar", words.ASK_CALENDAR),
    "notes.md": (NOTES, "passages", "What do you know about The Quellmar?"),
    "Quellmar.TXT": ("It is a river of 240 km.\n", "passages", "What do you know about Quellmar?"),
    "people.tsv": (TRIPLES, "graph", "What do you know about Ben Vogel?"),
    "places.csv": (RESTAURANTS, "restaurant", "What is the pricerange of Blue Door?"),
    "cars.csv": (CARS, "taxi", "What is the seats of Kestrel Cars?"),
    "edges.csv": (TRIPLES.replace("\t", ","), "graph", "What do you know about Ben Vogel?"),
}
