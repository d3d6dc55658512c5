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

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"adapterbot": "adapterbot", **{name: f"adapterbot.{name}" for name in ("skills", "manager", "ui", "data")}}

# From the bottom up. A module imports from its own layer and from those below it.
LAYERS = {
    "standard library only": "errors turn history home ahead",
    "no torch": "spec support overlap faithfulness openings marks recipe madeup frames documents vocabulary prompt"
    " examples store database knowledge data skills",
    "the network": "manager heads scores relevance engine generate rerank adapters copying likelihood decoder backbone"
    " linear device checkpoint snapshot packing optimization safety",
    "a whole turn": "bot roster session training card curve pretraining evaluation judgement styling comparing"
    " verdicts",
    "the edges": "cli cli_training cli_knowledge scoring score_tables report_page build making stages workshop records"
    " terminal doctor bench ui",
}
# What answering a turn must not have loaded: each costs a second or a hundred megabytes.
HEAVY = {"transformers", "sentence_transformers", "sklearn", "scipy", "matplotlib", "gradio", "datasets", "pandas"}
UNSAFE_IMPORTS = {"pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
UNSAFE_CALLS = {"eval", "exec", "compile", "torch.load", "torch.save", "os.system", "os.popen"}
SQL_CALLS = {"execute", "executemany", "exec_driver_sql", "text"}
LARGEST = 40 * 2**20
FILE_CAP, FUNCTION_CAP = 300, 40


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


def at_import_time(tree: ast.AST) -> ast.Module:
    """The statements of a module that run when it is imported: no function bodies, no TYPE_CHECKING blocks."""
    body: list[ast.stmt] = []
    queue = list(ast.iter_child_nodes(tree))
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            queue += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            body.append(node)
        else:
            queue += ast.iter_child_nodes(node)
    return ast.Module(body, [])


def layer(module: str) -> int:
    """The number of the layer that `module` belongs to, 0 the lowest."""
    top = module.removeprefix("adapterbot.").split(".")[0]
    for number, names in enumerate(LAYERS.values()):
        if top in names.split():
            return number
    raise AssertionError(f"{module} has no layer: add {top!r} to LAYERS")


def lowest(count: int) -> list[str]:
    """The modules of the lowest `count` layers."""
    tops = {name for names in list(LAYERS.values())[:count] for name in names.split()}
    return [name for name in modules() if name.removeprefix("adapterbot.").split(".")[0] in tops]


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
    own = layer(module)
    upward = {name for name in imports(modules()[module]) if name.startswith("adapterbot.") and layer(name) > own}
    assert not upward, f"{module} (layer {own}) imports {sorted(upward)}"


def test_no_module_waits_for_itself() -> None:
    graph = {name: set(imports(at_import_time(tree))) & set(modules()) for name, tree in modules().items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", modules())
def test_imports_are_absolute_and_by_the_installed_name(module: str) -> None:
    names = set(imports(modules()[module]))
    assert not [name for name in names if name.startswith(".")], "relative import"
    assert not {name.split(".")[0] for name in names} & (FOLDERS.keys() - {"adapterbot"}), "a second copy of a folder"


@pytest.mark.parametrize("module", lowest(1))
def test_the_lowest_layer_needs_nothing_installed(module: str) -> None:
    outside = {name.split(".")[0] for name in imports(modules()[module])} - sys.stdlib_module_names - {"adapterbot"}
    assert not outside


@pytest.mark.parametrize("module", lowest(2))
def test_torch_begins_above(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(modules()[module])} & ({"torch"} | HEAVY - {"datasets"})


def test_the_lower_layers_load_no_torch_by_way_of_others() -> None:
    assert "torch" not in loaded_after("\n".join(f"import {name}" for name in lowest(2)))


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
    for called, node in calls(modules()[module]):
        if called.split(".")[-1] in SQL_CALLS and node.args:
            built = isinstance(node.args[0], ast.JoinedStr | ast.BinOp)
            assert not built, f"{module}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("module", modules())
def test_files_and_functions_stay_short(module: str) -> None:
    tree = modules()[module]
    last = max((node.end_lineno or 0 for node in tree.body), default=0)
    assert last <= FILE_CAP, f"{module} has {last} lines: where does it split?"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_CAP, f"{module}.{node.name} has {length} lines"


def test_importing_the_package_is_light() -> None:
    assert not loaded_after("import adapterbot") & ({"torch", "numpy", "pydantic"} | HEAVY)


def test_help_needs_no_torch() -> None:
    code = "import sys; sys.argv = ['adapterbot', '--help']\nimport adapterbot.cli\n"
    code += "try:\n    adapterbot.cli.main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    assert not loaded_after(code) & ({"torch"} | HEAVY)


def test_answering_a_turn_loads_nothing_heavy() -> None:
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
