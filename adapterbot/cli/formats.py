"""How the files look that commands take, as their --help says it; docs/formats.md has each with all its fields."""

from __future__ import annotations

MORE = "All forms, field by field: docs/formats.md in the repository."
DIALOGUES = (
    'A dialogue file (JSONL) has one conversation a line: {"id": "1", "turns": [{"speaker": "user", "text": "..."}, '
    '{"speaker": "system", "text": "...", "knowledge": ["a fact", ...]}]}; id and knowledge may be left out. '
    "OpenAI's messages, ShareGPT's conversations and a "
    "CSV file with a message and its reply in each row are read too."
)
MESSAGES = (
    'A file of messages (JSONL) has one a line, with the skill that it should lead to: {"history": [{"speaker": "user" '
    '| "bot", "text": "..."}, ...], "message": "...", "label": "weather", "kind": "..."}; history may be empty, kind '
    "(a name to count by) left out."
)
REPLIES = (
    'A file of labelled replies (JSONL) has one a line: {"skill": "wiki", "facts": ["..."], "history": ["...", '
    '"the message"], "reply": "...", "supported": true | false, "kind": "..."}; kind says what is wrong.'
)
WORDINGS = (
    'a file of wordings (JSONL, or a JSON list) has one a line, with the verdicts that are right: {"text": "...", '
    '"right": ["supported" | "contradicted" | "not known"], "kind": "..."}, or what is put around known claims: '
    '{"frame": "It is a myth that {claim}.", "effect": "keep" | "reverse" | "neither"}; a folder of corpora is taken '
    "as well."
)
CARE_MESSAGES = (
    'A file of messages that need care or do not (JSONL) has one a line: {"message": "...", "history": ["user", "bot", '
    '...], "label": "none" | "crisis" | "abuse" | "emergency" | "danger" | "minor" | "sexual" | "hate" | "insult"}.'
)
STATES = (
    "A folder of belief states has a folder for each set (multiwoz, camrest, woz, sgd, ...) with train.jsonl.gz and "
    'valid.jsonl.gz, one user turn a line: {"id": "1", "turn": 2, "domain": "hotel", "history": ["...", "..."], '
    '"user": "...", "state": {"hotel": {"area": "north"}}, "requested": ["phone"], "changed": {"area": [null, '
    '"north"]}}.'
)
PAIRS = (
    "A folder of labelled pairs has a folder for each set, with train.jsonl and valid.jsonl (or .jsonl.gz) in it, a "
    'pair a line: {"premise": "...", "hypothesis": "...", "label": "entails" | "contradicts" | "neither"}.'
)
HISTORY = (
    'A history is a JSON list, oldest first: [{"speaker": "user" | "bot", "text": "..."}, ...]; {"role": "user" | '
    '"assistant", "content": "..."} is read too.'
)
CORPORA = (
    "A folder of corpora has a folder for each, with train.jsonl (and valid.jsonl) in it; which corpora there are, "
    "what the folders are called and where they come from: docs/corpora.md in the repository."
)
TRIPLES = "graph: .tsv, .txt or .csv with subject, relation and object on each line, a tab (in .csv a comma) between."
PASSAGES = (
    'passages: .txt, .md, .jsonl ({"title": "...", "text": "..."} a line), a Wikipedia dump (.xml, .xml.bz2), or a '
    "folder of .txt, .md and .jsonl files."
)
CALENDAR = "calendar: an .ics file, as calendar programs export it; it takes the place of the one before."
# Skill -> (columns that its table needs, others that it knows): what the shipped tables have (held to it by a test).
COLUMNS = {
    "restaurant": ("name, area, food, pricerange", "address, phone, postcode"),
    "hotel": ("name, area, pricerange, type", "address, internet, parking, phone, postcode, stars"),
    "attraction": ("name, area, type, entrance fee", "address, phone, postcode"),
    "taxi": ("name, area, type, color", "phone, seats"),
    "train": ("trainID, day, departure, destination, leaveAt, arriveBy", "duration, price"),
    "navigation": ("poi, poi_type, traffic_info", "address, distance"),
}
TABLES = (
    "Any other name is a skill with a table: a .csv whose first line names the columns, or an SQLite file with one "
    "table. Columns (in any order; more of your own are told too):"
)


def paragraphs(*texts: str) -> str:
    """An epilogue of `--help`, with an empty line between its parts."""
    return "\n\n".join(texts)


def knowledge() -> str:
    """What `knowledge add` takes."""
    tables = (f"{name}: needs {needed}; knows {known}." for name, (needed, known) in COLUMNS.items())
    return paragraphs(TRIPLES, PASSAGES, CALENDAR, TABLES, *tables, MORE)
