"""skill.toml: what it says is what is used, and what cannot be right is refused with the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.errors import AdapterbotError, SpecError, UnknownNameError
from adapterbot.home import Home, is_inside
from adapterbot.spec.folders import NAME, PACKAGE_SKILLS, SkillFolders, check_name, read_spec
from adapterbot.spec.tables import SkillSpec

SHIPPED = ("chitchat", "empathetic", "persona", "weather", "wiki")
MINIMAL = 'summary = "Answers in verse."\ngroup = "style"\n'


def write(home: Home, text: str, name: str = "haiku") -> Path:
    """A skill of the user's own."""
    folder = home.skills / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "skill.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_skills_are_valid(home: Home, name: str) -> None:
    spec = SkillFolders(home).load(name)
    assert spec.name == name
    assert spec.summary.endswith(".")
    assert spec.trainable
    assert len(spec.routing.examples) >= 10
    assert len(set(spec.routing.examples)) == len(spec.routing.examples)


def test_a_minimal_spec_has_the_documented_defaults(home: Home) -> None:
    spec = read_spec(write(home, MINIMAL))
    assert (spec.turns, spec.decode.temperature, spec.train.epochs, spec.routing.auto) == (5, 0.7, 5, True)
    assert spec.adapter is not None
    assert (spec.adapter.bottleneck, spec.adapter.first_layer) == (64, 0)
    assert read_spec(write(home, MINIMAL + "adapter = false")).adapter is None


@pytest.mark.parametrize(
    ("first", "blocks", "block"), [("0", 30, 0), ("10", 30, 10), ("0.34", 30, 10), ("0.34", 2, 0), ("0.5", 24, 12)]
)
def test_an_adapter_begins_at_a_block_or_at_a_share_of_them(home: Home, first: str, blocks: int, block: int) -> None:
    adapter = read_spec(write(home, MINIMAL + f"[adapter]\nfirst_layer = {first}")).adapter
    assert adapter is not None
    assert adapter.first_block(blocks) == block


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "[adapter]\nfirst_layer = 1.5", "is a block's number, or a share below 1"),
        ('group = "style"', "`summary` is missing"),
        (MINIMAL + "sumary = 1", "unknown key `sumary`; did you mean 'summary'"),
        (MINIMAL + "[adapter]\nbottlenek = 3", "unknown key `adapter.bottlenek`; did you mean 'bottleneck'"),
        (MINIMAL + "[train]\nlearning_rate = 3", "unknown key `train.learning_rate`; there are: batch, epochs, lr"),
        (MINIMAL + "[decode]\ntemprature = 3", r"\[decode\] unknown decode setting 'temprature'; did you mean"),
        (MINIMAL + "[decode]\ntop_p = 0", r"\[decode\] top_p=0 is outside 0.01 to 1"),
        (MINIMAL + "decode = 3", "`decode`"),
        (MINIMAL + "[adapter]\nbottleneck = 0", "`adapter.bottleneck`: .*greater than or equal to 1"),
        (MINIMAL + '[adapter]\ntype = "lorra"', "`adapter.type`: no adapter is of this type; did you mean .lora."),
        (MINIMAL + "adapter = true", "`adapter`"),
        (MINIMAL + "turns = 0", "`turns`"),
        (MINIMAL + "strength = 0", "`strength`: .*greater than 0"),
        (MINIMAL + "turns = 'five'", "`turns`"),
        (MINIMAL + "[train]\nlr = nan", "`train.lr`"),
        ('summary = "x"\ngroup = "verse"', "`group`: .*'conversation', 'knowledge', 'task' or 'style'"),
        (MINIMAL + '[data]\npath = "../../etc/passwd"', "`data.path`: must be a file inside the skill's folder"),
        (MINIMAL + '[data]\npath = "/etc/passwd"', "inside the skill's folder"),
        (MINIMAL + "[data]\npath = 'C:\\windows\\win.ini'", "inside the skill's folder"),
        (MINIMAL + '[data]\nfacts = "all"', "`data.facts`"),
        (MINIMAL + "name = 'other'", "unknown key `name`; a skill is called what its folder is"),
        ("summary = ", "not valid TOML"),
        (MINIMAL + "[train", "not valid TOML"),
        (MINIMAL + 'extends = "empathethic"', "extends.*did you mean 'empathetic'"),
        (MINIMAL + "extends = 3", "`extends` names another skill"),
        (MINIMAL + 'extends = "../wiki"', "cannot name a skill"),
    ],
)
def test_what_cannot_be_right_is_refused_with_file_and_key(home: Home, text: str, message: str) -> None:
    folder = write(home, text)
    with pytest.raises(SpecError, match=message) as caught:
        SkillFolders(home).load("haiku")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(home: Home) -> None:
    folder = write(home, "")
    (folder / "skill.toml").write_bytes(b'summary = "caf\xe9"')
    with pytest.raises(SpecError, match="not valid TOML"):
        SkillFolders(home).load("haiku")


def test_a_byte_order_mark_is_fine(home: Home) -> None:
    assert read_spec(write(home, "\ufeff" + MINIMAL)).summary == "Answers in verse."


def test_extends_takes_tables_as_defaults_one_level_deep(home: Home) -> None:
    write(home, MINIMAL + "turns = 3\n[train]\nepochs = 9\nlr = 0.5", "base")
    write(home, 'extends = "base"\nsummary = "Mine."\n[train]\nepochs = 2', "mine")
    spec = SkillFolders(home).load("mine")
    assert (spec.summary, spec.turns, spec.group) == ("Mine.", 3, "style")
    assert (spec.train.epochs, spec.train.lr) == (2, 0.5)
    write(home, 'extends = "mine"', "deep")
    with pytest.raises(SpecError, match="extends 'mine', which extends another skill"):
        SkillFolders(home).load("deep")


def test_extends_takes_shared_tables_that_are_no_skill(home: Home) -> None:
    write(home, 'extends = "_verse"\nsummary = "Mine."\n[train]\nepochs = 2', "mine")
    (home.skills / "_verse.toml").write_text('group = "style"\nturns = 3\n[train]\nlr = 0.5\n[routing]\nauto = false')
    folders = SkillFolders(home)
    assert not [name for name in folders.names() if name.startswith("_")]
    spec = folders.load("mine")
    assert (spec.turns, spec.train.epochs, spec.train.lr, spec.routing.auto) == (3, 2, 0.5, False)
    write(home, 'extends = "_verses"\nsummary = "Mine."', "mine")
    with pytest.raises(SpecError, match="unknown base '_verses'; did you mean '_verse'"):
        folders.load("mine")
    (home.root / "outside.toml").write_text('group = "style"')
    (home.skills / "_verses.toml").symlink_to(home.root / "outside.toml")
    with pytest.raises(SpecError, match="unknown base '_verses'"):
        folders.load("mine")


def test_examples_are_read_from_both_files(home: Home) -> None:
    folder = write(home, MINIMAL + '[routing]\nexamples = ["A verse, please."]')
    (folder / "examples.txt").write_text("\ufeffWrite a haiku.\n\n  # spring, in three lines \n", encoding="utf-8")
    own = read_spec(folder)
    assert own.routing.examples == ("A verse, please.", "Write a haiku.", "# spring, in three lines")
    write(home, 'extends = "haiku"', "limerick")
    assert SkillFolders(home).load("limerick").routing.examples == own.routing.examples
    (write(home, 'extends = "haiku"', "sonnet") / "examples.txt").write_text("Fourteen lines on love.\n")
    assert SkillFolders(home).load("sonnet").routing.examples == ("Fourteen lines on love.",)
    (folder / "examples.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(SpecError, match=r"examples\.txt: not UTF-8"):
        read_spec(folder)


BAD_NAMES = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\windows\\win.ini",
    "a/..\\b",
    "a\0b",
    "a" * 5000,
    "a.",
    "con",
    "nul",
    "com1",
    "lpt0",
    "Wiki",
    "wiki ",
    "wiki\n",
    "9lives",
    "_x",
    "ｗｉｋｉ",
    "a-b",
    "wíki",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda n: repr(n)[:24])
def test_no_path_is_ever_a_name(home: Home, name: str) -> None:
    for ask in (check_name, SkillFolders(home).load, SkillFolders(home).adapter_file):
        with pytest.raises(SpecError, match="cannot name a skill") as caught:
            ask(name)
        assert len(str(caught.value)) < 250


@given(st.text(max_size=45))
def test_a_name_that_is_taken_is_a_plain_file_name(name: str) -> None:
    try:
        check_name(name)
    except SpecError:
        return
    assert NAME.fullmatch(name)
    assert (Path("root") / name).parent == Path("root")


def test_an_unknown_skill_lists_the_nearest(home: Home) -> None:
    with pytest.raises(UnknownNameError, match="'wheather'; did you mean 'weather'"):
        SkillFolders(home).load("wheather")


def test_a_users_skill_of_the_same_name_wins(home: Home) -> None:
    write(home, MINIMAL, "wiki")
    folders = SkillFolders(home)
    assert folders.load("wiki").summary == "Answers in verse."
    assert folders.names().count("wiki") == 1
    assert set(folders.names()) >= set(SHIPPED)


def test_a_skill_that_links_out_of_the_folder_is_refused(home: Home, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "skill.toml").write_text(MINIMAL)
    (outside / "adapter.safetensors").write_bytes(b"secret")
    home.skills.mkdir(parents=True)
    (home.skills / "linked").symlink_to(outside, target_is_directory=True)
    folders = SkillFolders(home)
    assert "linked" not in folders.names()
    with pytest.raises(SpecError, match="symbolic link"):
        folders.load("linked")
    with pytest.raises(SpecError, match="symbolic link"):
        folders.adapter_file("linked")
    folder = write(home, MINIMAL)
    (folder / "adapter.safetensors").symlink_to(outside / "adapter.safetensors")
    with pytest.raises(SpecError, match="symbolic link"):
        folders.adapter_file("haiku")
    assert not is_inside(folder / "adapter.safetensors", home.skills)


def test_the_users_adapter_comes_before_the_shipped_one(home: Home) -> None:
    path = home.skills / "empathetic" / "adapter.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert SkillFolders(home).adapter_file("empathetic") == path
    assert SkillFolders(home).folder("empathetic") == PACKAGE_SKILLS / "empathetic"


def test_the_digest_covers_what_training_depends_on_and_nothing_else(home: Home) -> None:
    def digest(text: str) -> str:
        return read_spec(write(home, MINIMAL + text)).digest

    plain = digest("")
    assert digest("[decode]\ntemperature = 0.1\n[routing]\nauto = false") == plain
    for change in (
        "turns = 4",
        "[adapter]\nbottleneck = 65",
        "[train]\nlr = 0.5",
        '[data]\nfacts = "none"',
        "adapter = false",
    ):
        assert digest(change) != plain, change


def test_a_spec_cannot_be_changed(home: Home) -> None:
    spec: SkillSpec = read_spec(write(home, MINIMAL))
    with pytest.raises((ValueError, AdapterbotError)):
        spec.turns = 3  # type: ignore[misc]
