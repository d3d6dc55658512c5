"""examples/deploy is held to the product, to the schemas of its files, and to rules that are stated here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from fastapi.testclient import TestClient
from typer.main import get_command

from adapterbot.bot import Bot
from adapterbot.cli import app as commands
from adapterbot.serving import http
from adapterbot.storage.keys import KeyStore

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "examples" / "deploy"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "tests" / "schemas" / "compose-spec.json").read_text(encoding="utf-8"))
NAMED = re.compile(r"\b((?:adapterbot|process)_[a-z_]+)(?:\{([^}]*)\})?")
OF_PROMETHEUS = {"instance", "job", "le"}  # labels that every series of a server has, and those of histograms


def read_yaml(name: str) -> Any:
    """A file of examples/deploy."""
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


# -- the image --------------------------------------------------------------------------------------------------------


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile as (instruction, arguments), comments left out and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest) for word, _, rest in (line.strip().partition(" ") for line in joined.splitlines()) if word
    ]


def faults(text: str) -> Iterator[str]:
    """What a Dockerfile does that ours must not; the last stage is the image that runs."""
    steps = instructions(text)
    starts = [i for i, (word, _) in enumerate(steps) if word == "FROM"]
    for word, rest in steps:
        if word == "ADD":
            yield "ADD fetches and unpacks: COPY does neither"
        if word == "RUN" and re.search(r"\b(curl|wget|sudo)\b|https?://", rest):
            yield f"fetched past pip: {rest}"
        if word == "FROM" and (":" not in rest.split()[0] or rest.split()[0].endswith(":latest")):
            yield f"no version: {rest}"
        if word in ("ENV", "ARG") and re.search(r"(?i)password|secret|token|key\s*=", rest):
            yield f"a secret would stay in the image: {word} {rest}"
        if word == "RUN" and "pip install" in rest and "--no-cache-dir" not in rest:
            yield "pip's cache would stay in the image"
    last = steps[starts[-1] :] if starts else []
    words = [word for word, _ in last]
    users = [rest for word, rest in last if word == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        yield "runs as root"
    yield from (f"no {word}" for word in ("HEALTHCHECK", "ENTRYPOINT", "CMD") if word not in words)
    if "USER" in words and "ENTRYPOINT" in words and words.index("ENTRYPOINT") < words.index("USER"):
        yield "USER comes after ENTRYPOINT"
    yield from (
        f"{word} is no JSON" for word, rest in last if word in ("CMD", "ENTRYPOINT") and not rest.startswith("[")
    )
    offline = " ".join(rest for word, rest in last if word == "ENV")
    yield from (f"{name} is not set" for name in ("ADAPTERBOT_OFFLINE=1", "HF_HUB_OFFLINE=1") if name not in offline)


def test_the_image_keeps_the_rules() -> None:
    assert not list(faults((DEPLOY / "Dockerfile").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("USER 10001", "USER root", "runs as root"),
        ("USER 10001\n", "", "runs as root"),
        ("HEALTHCHECK", "# HEALTHCHECK", "no HEALTHCHECK"),
        ("COPY . .", "ADD https://example.org/adapterbot.tar.gz .", "ADD fetches"),
        ("python:3.11-slim-bookworm", "python:latest", "no version"),
        ("PYTHONUNBUFFERED=1", "PGPASSWORD=1", "a secret"),
        ("RUN useradd", "RUN curl -O https://example.org/x && useradd", "fetched past pip"),
        ("--no-cache-dir ", "", "pip's cache"),
        ("HF_HUB_OFFLINE=1", "HF_HUB_OFFLINE=0", "HF_HUB_OFFLINE"),
    ],
)
def test_the_rules_notice_what_breaks_them(before: str, after: str, fault: str) -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert before in text
    assert any(said.startswith(fault) for said in faults(text.replace(before, after)))


def known_to(name: str, arguments: list[str]) -> None:
    """Raises where the command does not know one of the options."""
    command = get_command(commands).get_command(None, name)  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {argument.partition("=")[0] for argument in arguments if argument.startswith("--")} <= known


def test_the_image_starts_the_server_by_options_that_it_has() -> None:
    steps = dict(instructions((DEPLOY / "Dockerfile").read_text(encoding="utf-8")))
    entry, (name, *arguments) = json.loads(steps["ENTRYPOINT"]), json.loads(steps["CMD"])
    assert entry == ["adapterbot"]
    known_to(name, arguments)
    asked = steps["HEALTHCHECK"]
    assert "/readyz" in asked
    assert f":{arguments[arguments.index('--port') + 1]}/" in asked


# -- compose, prometheus ----------------------------------------------------------------------------------------------


def compose_faults(file: Any) -> list[str]:
    """What the Compose Specification's schema says against a file."""
    return [error.message for error in jsonschema_rs.validator_for(SCHEMA).iter_errors(file)]


def test_the_compose_file_fits_the_schema() -> None:
    file = read_yaml("compose.yaml")
    assert not compose_faults(file)
    assert compose_faults({**file, "services": {"bot": {"imagge": "adapterbot"}}})


def test_the_compose_file_holds_together() -> None:
    file = read_yaml("compose.yaml")
    bot = file["services"]["bot"]
    name, *arguments = bot["command"]
    known_to(name, arguments)
    assert (bot["read_only"], bot["cap_drop"]) == (True, ["ALL"])
    assert file["networks"]["inside"]["internal"] is True
    assert file["services"]["postgres"]["networks"] == ["inside"]
    assert float(bot["stop_grace_period"].removesuffix("s")) > http.GRACE
    for service in file["services"].values():
        assert set(service["networks"]) <= set(file["networks"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert "image" in service
        assert not service["image"].endswith(":latest")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in file["volumes"], source
    assert (DEPLOY / bot["build"]["context"] / bot["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    (scraped,) = read_yaml("prometheus.yaml")["scrape_configs"]
    (target,) = scraped["static_configs"][0]["targets"]
    assert f"--allow-host={target.split(':')[0]}" in arguments, "it answers by the name that it is asked by"
    assert f"--port={target.split(':')[1]}" in arguments


def test_no_secret_stands_in_the_files() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            for found in re.findall(r"(?i)password[:=]\s*(\S+)", path.read_text(encoding="utf-8")):
                assert found.startswith(("${", "$(")), path


# -- figures ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def figures(shared_bot: Bot, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every series that /metrics gives after some traffic, with its labels."""
    keys = KeyStore(tmp_path_factory.mktemp("keys") / "keys.sqlite3")
    with TestClient(http.api(shared_bot, keys), base_url="http://127.0.0.1") as client:
        for stream in (False, True):
            body = {"message": "Hello", "max_tokens": 4, "drafts": 1, "stream": stream}
            assert client.post("/v1/respond", json=body).status_code == 200
        page = client.get("/metrics").text
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:\{(.*)\})? ", page, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    for name in re.findall(r"^# TYPE (\w+_total) counter", page, re.MULTILINE):
        found.setdefault(name, set())
    return found


def expressions() -> list[tuple[str, str]]:
    """Every query of the dashboard and of the alarms, with where it stands."""
    board = json.loads((DEPLOY / "grafana" / "adapterbot.json").read_text(encoding="utf-8"))
    queries = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]]
    rules = [rule for group in read_yaml("alarms.yaml")["groups"] for rule in group["rules"]]
    return queries + [(rule["alert"], rule["expr"]) for rule in rules]


def test_every_figure_that_is_shown_or_watched_is_given(figures: dict[str, set[str]]) -> None:
    assert len(expressions()) > 20
    for where, query in expressions():
        names = NAMED.findall(query)
        assert names or query.startswith("up{"), where
        labels = set[str]().union(*(figures.get(name, set()) for name, _ in names)) | OF_PROMETHEUS
        for name, selected in names:
            assert name in figures, f"{where}: no figure is called {name}"
            assert set(re.findall(r"(\w+)\s*[=!]", selected)) <= figures[name] | OF_PROMETHEUS, where
        for grouped in re.findall(r"by \(([^)]*)\)", query):
            assert {label.strip() for label in grouped.split(",")} <= labels, where
        if "histogram_quantile" in query:
            assert all(name.endswith("_bucket") for name, _ in names), where
            assert "le" in query
        assert query.count("(") == query.count(")"), where
        for name, _ in names:
            counts = name.endswith(("_total", "_bucket"))
            assert counts == bool(re.search(rf"rate\({name}\b", query)), f"{where}: only what counts has a rate"


def test_every_figure_of_the_pages_is_given(figures: dict[str, set[str]]) -> None:
    for page in (OPERATIONS, (ROOT / "docs" / "server.md").read_text(encoding="utf-8")):
        for name in re.findall(r"`((?:adapterbot|process)_[a-z_]+)`", page):
            assert name in figures or f"{name}_bucket" in figures, name


def test_the_dashboard_lies_as_grafana_reads_it() -> None:
    board = json.loads((DEPLOY / "grafana" / "adapterbot.json").read_text(encoding="utf-8"))
    source = read_yaml("grafana/datasource.yaml")["datasources"][0]["uid"]
    assert {target["datasource"]["uid"] for panel in board["panels"] for target in panel["targets"]} == {source}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken = set[tuple[int, int]]()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, "two panels lie upon one another"
        assert at["x"] + at["w"] <= 24
        taken |= cells
    folder = read_yaml("grafana/dashboards.yaml")["providers"][0]["options"]["path"]
    mounted = read_yaml("compose.yaml")["services"]["grafana"]["volumes"]
    assert f"./grafana/adapterbot.json:{folder}/adapterbot.json:ro" in mounted


def test_every_alarm_is_explained_and_no_other() -> None:
    rules = [rule for group in read_yaml("alarms.yaml")["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in rules] == re.findall(r"^### (\w+)$", OPERATIONS, re.MULTILINE)
    for rule in rules:
        assert rule["annotations"]["page"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert re.fullmatch(r"\d+[smh]", rule["for"])
        assert rule["labels"]["severity"] in ("critical", "warning")
