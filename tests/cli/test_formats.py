"""What `--help` says of files is what is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adapterbot.cli import formats
from adapterbot.data.dialogue import parse
from adapterbot.evaluation.grounding import read_labelled_replies
from adapterbot.evaluation.wordings import read_wordings
from adapterbot.history import History
from adapterbot.home import DATA, Home
from adapterbot.knowledge.claims.source import ClaimSource
from adapterbot.knowledge.table.source import SHIPPED, _filled
from adapterbot.knowledge.table.table import Table
from adapterbot.manager.training.care_lines import read_messages
from adapterbot.manager.training.pairs import read_pairs
from adapterbot.spec.folders import PACKAGE_SKILLS, SkillFolders

PAGE = (DATA.parent / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("skill", formats.COLUMNS)
def test_the_columns_are_those_of_the_shipped_tables(skill: str) -> None:
    columns = Table(_filled(SHIPPED / f"{skill}.csv", skill)).columns
    needed = {column.name for column in columns if column.kind in ("entity", "value", "time")}
    needs, knows = (set(part.split(", ")) for part in formats.COLUMNS[skill])
    assert needs == needed
    assert knows == {column.name for column in columns} - needed


def test_every_shipped_table_is_described() -> None:
    assert set(formats.COLUMNS) == {path.stem for path in SHIPPED.glob("*.csv")}
    for skill, (needs, knows) in formats.COLUMNS.items():
        assert f"| `{skill}` | {needs} | {knows} |" in PAGE


def test_the_examples_of_the_page_are_read(tmp_path: Path) -> None:
    texts = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    examples = (json.loads(text) for text in texts if text.count("\n") == 1)
    dialogue, message, care, pair, reply, history, passage = examples
    (wordings,) = (text for text in texts if text.count("\n") > 1)
    (tmp_path / "wordings.jsonl").write_text(wordings)
    claims = ClaimSource(PACKAGE_SKILLS / "covid_claims" / "claims.jsonl", Home(tmp_path))
    assert [w.kind for w in read_wordings(claims, tmp_path / "wordings.jsonl", 1)] == ["plain", "reverse"]
    assert parse(dialogue).turns[1].knowledge
    assert History.from_list(message["history"]).texts == ("Hi!", "Hello.")
    assert message.keys() == {"history", "message", "label", "kind"}
    (tmp_path / "care.jsonl").write_text(json.dumps(care))
    assert [(m.kind, len(m.before)) for m in read_messages(tmp_path / "care.jsonl")] == [("crisis", 1)]
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "valid.jsonl").write_text(json.dumps(pair))
    assert read_pairs(tmp_path, "valid")["pairs"][0].sure == "contradicts"
    (tmp_path / "replies.jsonl").write_text(json.dumps(reply))
    (read,) = read_labelled_replies(tmp_path / "replies.jsonl", SkillFolders(Home(tmp_path)).load_all())
    assert read.history
    assert not read.supported
    assert History.from_list(history).last_user
    assert passage.keys() == {"title", "text"}
