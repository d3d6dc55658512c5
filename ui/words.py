"""What the page says, in one place."""

from __future__ import annotations

from collections.abc import Sequence

NAME = "adapterbot"
ABOUT = "One frozen language model, a small adapter per skill, and a manager that picks the skill for every turn."
GREETING = "What would you like to talk about?"
START = "Say something, or start with one of these. The manager picks the skill; you can pick one yourself above."
IN_STYLE = "style: “{}” answered with"
ADD_CALENDAR = "Add your calendar (.ics), then ask what is on."
CAN_DO = (
    "I chat and listen, answer from passages and triples, and look things up in tables, in a forecast and in your "
    "calendar. Here is one message for each of my skills."
)
ENGLISH = "I am sorry: so far I speak English only. Could you say it in English?"
ABOUT_ITSELF = "The message asks what the bot can do: a fixed text, by no model."
FOREIGN = "The message does not look like English: a fixed text, by no model."
LOADING_MANAGER = "the manager"
LOADING_PAGE = "the page"
READING = "Getting ready: this takes a few seconds."
NO_FORECAST = (
    "No forecast: the place is not known, or this machine cannot reach api.open-meteo.com. "
    "adapterbot ui --demo answers from a sample forecast."
)
NO_NETWORK = (
    "No forecast: this machine cannot reach api.open-meteo.com now. "
    "adapterbot ui --demo answers from a sample forecast."
)
NO_SAMPLE = "The sample forecast of --demo has some well-known places only."
PERSONAL = "Personal"
CITY = "Your city"
CITY_INFO = "Where the forecast is for when a message names no place. This browser remembers what stands here."
UNITS = "Temperatures"
UNIT_CHOICES = (("as the skill has it", ""), ("°C", "metric"), ("°F", "imperial"))
BOX = "Your message"
WHO = "Who answers"
AUTO = "Auto: the manager picks"
SEND = "Send"
STOP = "Stop"
WAITING = "…"
STOPPED = "stopped"
EDITING = "Sending replaces your last message; the former one stays as a version."
CANCEL = "Cancel"

NEW = "New chat"
CHATS = "Conversations"
SEARCH = "Search conversations"
NO_CHATS = "Nothing here yet. What you say is kept on this computer, for this browser."
NOTHING_FOUND = "No conversation says that."
RENAME = "Rename"
DELETE = "Delete"
SAVE = "Save"
UNDO = "Undo"
TITLE = "Title"
AS_MARKDOWN = "Export as Markdown"
AS_JSON = "Export as JSON"
MORE = "More"
CLOSE = "Close"
THEME = "Light or dark"

COPY = "Copy"
LIKE = "Good reply"
DISLIKE = "Bad reply"
RETRY = "Answer again"
EDIT = "Edit"
TAKE_BACK = "Take back"
EARLIER = "Former version"
LATER = "Next version"
OLDER = "Show earlier turns"
TAKE = "Use this"
COMPARE_WITH = "Compare with another skill"
ELSE = "or with…"
APART = "Close the comparison"

EVIDENCE = "Evidence"
SETTINGS = "Settings"
NO_REPLY = "Which skill answers, why, and from which facts: send a message to see it here."
NO_FACTS = "No facts: this skill answers from the conversation alone."
PERSONA_LABEL = "Who the bot is"
PERSONA_INFO = "One fact a line. The persona skill speaks from them; no other skill sees them."
OWN_SETTINGS = "Use the skill's own settings"
NEW_SEED = "a new one every time"

BROKEN = "Something broke ({}); the terminal says more."
ANSWERING = "A reply is being made: stop it, or wait for its end."
GONE = "That is not there any more."

YOUR_CHOICE = "your choice"
ANSWERED_BY = "Answered by"
WHY = "Why"
FACTS = "Facts used"
SCORES = "Scores"
DRAFTS = "Drafts"
NOTES = "Notes"
TIMINGS = "Timings"
SEED = "seed"
SCORE = "score"
ALL_DAY = "all day"
FIXED = "A fixed text, by no model."
BEST_OF = "best of {}"
MORE_SCORES = "{} more"
TRIPLES = "{} triples"
# How a skill came to answer, in the strip under a reply and at length.
CHOSEN = {"forced": YOUR_CHOICE, "fallback": "fallback", "only": "no manager"}
ROUTED = {
    "forced": YOUR_CHOICE,
    "manager": "chosen by the manager",
    "fallback": "fallback: no skill was clear enough",
    "only": "no manager is trained",
    "care": "care: no skill answers this",
}
# What the page's script says by itself.
SCRIPT = {
    "copy": COPY,
    "copied": "Copied",
    "becomes": "{} becomes",
    "read": "{}: {} read",
    "refused": "{}: refused ({})",
    "unreachable": "The server cannot be reached.",
    "lost": "The connection was lost. What you said is kept, and the page goes on when the server is back.",
}


def deleted(title: str) -> str:
    """The line after a conversation was deleted."""
    return f"Deleted “{title}”."


def compare(skill: str) -> str:
    """The button that has the same message answered by another skill as well."""
    return f"Compare with {skill}"


FILES = "Files"
ADD_FILE = "Add a file"
ADD = "Add"
REMOVE = "Remove"
DROP = "Drop a .csv, .ics, .md, .txt or .tsv file anywhere, or choose one."
NO_FILES = "Nothing of your own yet. A calendar, notes, a table or triples: replies are made from them as well."
BECOMES = "What it becomes"
PROGRESS = "Progress"
ONLY_HERE = "Files are added at the computer that adapterbot runs on."
ANOTHER_FILE = "another file is being added; wait for its end"
ASK_CALENDAR = "What is next on my calendar?"
ASK_ABOUT = "What do you know about {}?"
ASK_CELL = "What is the {} of {}?"
TOO_LARGE = "{}: larger than the {:,} MB that are taken"


def as_calendar() -> str:
    """What an .ics file becomes."""
    return "your calendar, in place of the one before"


def as_passages() -> str:
    """What a text becomes."""
    return "passages to answer from, beside those that are there"


def as_graph() -> str:
    """What lines of subject, relation and object become."""
    return "triples to answer from, in place of your earlier ones"


def as_table(skill: str) -> str:
    """What rows become."""
    return f"the table of the skill {skill}, in place of the one that is there"


def no_table(name: str, header: Sequence[str], nearest: str, missing: Sequence[str]) -> str:
    """That a table fits no skill."""
    has = ", ".join(header[:8]) + ("…" if len(header) > 8 else "")
    return f"{name}: its columns ({has}) are those of no table here; for {nearest} it lacks {', '.join(missing)}"


def added(name: str, what: str) -> str:
    """That a file was taken in."""
    return f"{name}: {what}"


def before_you(people: int) -> str:
    """The line while others are answered first."""
    return "One person is before you." if people == 1 else f"{people} people are before you."


def line_is_full(people: int) -> str:
    """That so many wait already that nobody else may."""
    return f"{people} people are before you, which is too many; try again in a minute"


def other_ending(name: str, endings: Sequence[str]) -> str:
    """That a file is of no kind that is taken."""
    return f"{name}: files that end in {', '.join(endings)} are taken"


def empty_file(name: str) -> str:
    """That there is nothing in a file."""
    return f"{name}: the file is empty"


def no_text(name: str) -> str:
    """That a file holds something else than text."""
    return f"{name}: not a text file"


def too_many_files(name: str, most: int) -> str:
    """That no room is left for a file."""
    return f"{most} files are there already; remove one before you add {name}"
