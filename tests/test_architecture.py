"""What holds for the code as a whole: who imports whom, how long things are, and what nobody may call."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from sql import unsound

from adapterbot.home import Home

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"adapterbot": "adapterbot", **{name: f"adapterbot.{name}" for name in ("skills", "manager", "ui", "data")}}

# The rooms from the bottom up, as docs/structure.md has them. A module imports from its own room, from rooms below, and
# sideways only where that closes no circle; function bodies and TYPE_CHECKING blocks count.
ROOMS = (
    "language errors home history facts turn pool",  # no torch
    "network spec storage data skills",
    "engine manager knowledge",
    "reply",
    "bot session roster training",
    "evaluation",
    "serving build",
    "cli ui",
)
STANDARD_LIBRARY = "errors home history facts turn pool"
NO_TORCH = "language errors home history facts turn pool spec storage data skills knowledge"
TURN = "evaluation serving build cli ui training"  # none of which a turn needs
# What answering a turn must not have loaded: each costs a second or a hundred megabytes.
HEAVY = {"transformers", "sentence_transformers", "sklearn", "scipy", "matplotlib", "gradio", "datasets", "pandas"}
UNSAFE_IMPORTS = {"pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
UNSAFE_CALLS = {"eval", "exec", "compile", "torch.load", "torch.save", "os.system", "os.popen"}
LARGEST = 40 * 2**20
# Tensors and parts of one family of models, which its own file alone knows, and what an adapter's parts are called.
PRIVATE = {"wte", "wpe", "ln_f", "lm_head", "c_attn", "c_proj", "c_fc", "mlp_proj"}


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name -> tree, of every module that installs."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *parts]).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@cache
def checks() -> dict[str, ast.Module]:
    """Dotted name -> tree, of every test."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names that `tree` imports, at whatever depth; `from a import b` gives 'a.b' when that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield whole if whole in modules() else source


def room(module: str) -> str:
    """The room of a module: the folder below the package, or the module itself."""
    return module.removeprefix("adapterbot.").split(".")[0]


def height(module: str) -> int:
    """The number of the row that the room of `module` stands in, 0 the lowest."""
    for number, rooms in enumerate(ROOMS):
        if room(module) in rooms.split():
            return number
    raise AssertionError(f"{module} has no place: add {room(module)!r} to ROOMS and to docs/structure.md")


def inside(rooms: str) -> list[str]:
    """The modules of these rooms."""
    return [name for name in modules() if room(name) in rooms.split() and name != "adapterbot"]


def arrows() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports, at whatever depth."""
    return {name: {other for other in imports(modules()[name]) if other in modules()} - {name} for name in ours()}


def ours() -> list[str]:
    """All modules but the lazy front page, which names parts of every layer and imports none of them by itself."""
    return [name for name in modules() if name != "adapterbot"]


def loaded_after(code: str) -> set[str]:
    """The top-level modules in a fresh process after it ran `code`."""
    report = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the dotted text of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("module", ours())
def test_imports_go_down_only(module: str) -> None:
    upward = {name for name in arrows()[module] - {"adapterbot"} if height(name) > height(module)}
    assert not upward, f"{module} imports {sorted(upward)} from a room above its own"


def test_no_module_waits_for_itself() -> None:
    graphlib.TopologicalSorter(arrows()).prepare()  # raises CycleError, which names the circle


def test_rooms_stand_in_one_order_and_the_report_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    between: dict[str, set[str]] = {room(name): set() for name in ours()}
    for name, others in arrows().items():
        between[room(name)] |= {room(other) for other in others if other != "adapterbot"} - {room(name)}
    order = list(graphlib.TopologicalSorter(between).static_order())  # raises CycleError
    with capsys.disabled():
        print("\n\nrooms from the bottom up, and what each imports:")
        for name in order:
            count = len(inside(name))
            print(f"  {name:<11}{count:>3} modules <- {', '.join(sorted(between[name], key=order.index)) or 'nothing'}")


def test_a_turn_needs_nothing_of_training_evaluation_or_the_edges(ready: Home) -> None:
    code = "from adapterbot.bot import Bot\nBot.load(log=False).respond('hello', seed=1)\n"
    code += "import sys; left = [n for n in sys.modules if n.split('.')[:1] == ['adapterbot'] and n.count('.')]\n"
    code += f"rooms = {{n.split('.')[1] for n in left}}; assert not rooms & set({TURN.split()!r}), rooms"
    loaded_after(code)


@pytest.mark.parametrize("module", modules())
def test_imports_are_absolute_and_by_the_installed_name(module: str) -> None:
    names = set(imports(modules()[module]))
    assert not [name for name in names if name.startswith(".")], "relative import"
    assert not {name.split(".")[0] for name in names} & (FOLDERS.keys() - {"adapterbot"}), "a second copy of a folder"


@pytest.mark.parametrize("module", inside(STANDARD_LIBRARY))
def test_the_lowest_rooms_needs_nothing_installed(module: str) -> None:
    outside = {name.split(".")[0] for name in imports(modules()[module])} - sys.stdlib_module_names - {"adapterbot"}
    assert not outside


@pytest.mark.parametrize("module", inside(NO_TORCH))
def test_torch_begins_above(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(modules()[module])} & ({"torch"} | HEAVY - {"datasets"})


def test_the_lower_rooms_load_no_torch_by_way_of_others() -> None:
    assert "torch" not in loaded_after("\n".join(f"import {name}" for name in inside(NO_TORCH)))


@pytest.mark.parametrize("module", modules())
def test_nothing_is_evaluated_or_unpickled(module: str) -> None:
    tree = modules()[module]
    assert not {name.split(".")[0] for name in imports(tree)} & UNSAFE_IMPORTS
    for called, node in calls(tree):
        where = f"{module}:{node.lineno}: {ast.unparse(node)}"
        assert called not in UNSAFE_CALLS, where
        flags = {word.arg for word in node.keywords if ast.unparse(word.value) == "True"}
        assert not flags & {"shell", "allow_pickle", "trust_remote_code"}, where


@pytest.mark.parametrize("module", modules())
def test_sql_is_never_put_together_from_values(module: str) -> None:
    assert not unsound(module, modules())


@pytest.mark.parametrize("module", [*modules(), *checks()])
def test_nobody_outside_the_network_names_a_part_of_a_model(module: str) -> None:
    if room(module) == "network" or module.startswith("tests.network."):
        pytest.skip("the room that knows them")
    tree = modules().get(module) or checks()[module]
    named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not named & PRIVATE


def test_importing_the_package_is_light() -> None:
    assert not loaded_after("import adapterbot") & ({"torch", "numpy", "pydantic"} | HEAVY)


def test_help_needs_no_torch() -> None:
    code = "import sys; sys.argv = ['adapterbot', '--help']\nimport adapterbot.cli\n"
    code += "try:\n    adapterbot.cli.main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    assert not loaded_after(code) & ({"torch"} | HEAVY)


def test_answering_a_turn_loads_nothing_heavy(ready: Home) -> None:
    code = "from adapterbot import Bot\nBot.load().respond('hello')"
    assert not loaded_after(code) & HEAVY


def test_no_file_of_the_repository_is_too_large() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert paths
    assert not [str(path) for path in paths if path.is_file() and path.stat().st_size > LARGEST]
