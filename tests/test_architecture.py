"""The rules that no type checker sees: import circles, frameworks, sizes, discovery, links."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import networkx
import pytest

from honed import discovery, knobs, record

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "honed"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
VARIANT_ROOMS = (
    "honed.backends",
    "honed.ci.systems",
    "honed.workloads",
    "honed.machine.knobs",
    "honed.models.knobs",
    "honed.models.families",
    "honed.serve.api",
    "honed.serve.deploy",
    "honed.serve.dispatch",
)
LONGEST_FILE = 400

# Where each framework may be imported at the top of a file. Elsewhere it is imported inside the
# function that needs it, so that commands that do not need it start fast and work without it.
OWNERS = {
    **dict.fromkeys(
        ("torch", "transformers", "torchao"),
        ("honed.backends", "honed.models.torch", "honed.plan"),
    ),
    **dict.fromkeys(
        ("onnx", "onnxruntime", "openvino", "nncf", "tensorflow", "keras", "jax", "ctranslate2"),
        ("honed.backends",),
    ),
    "optuna": ("honed.tune",),
    "plotly": ("honed.report",),
    "matplotlib": ("honed.report",),
    "jinja2": ("honed.report",),
}
# Frameworks that are cheap enough for a whole room: only the direct imports are checked.
ROOMS = {
    "typer": ("honed.cli",),
    **dict.fromkeys(("mcp", "mcp_types", "anyio", "pydantic"), ("honed.agents",)),
    **dict.fromkeys(("msgspec", "orjson", "prometheus_client", "uvicorn"), ("honed.serve",)),
    "rich": ("honed.cli", "honed.show", "honed.report"),
    "sqlalchemy": ("honed.database", "honed.store", "honed.run", "honed.tune"),
    "hydra": ("honed.compose",),
    "omegaconf": ("honed.compose",),
}


def test_modules_form_no_import_circle() -> None:
    """Every import between modules counts, also inside functions and for types only.

    The front door (`honed/__init__.py`) offers the verbs of the rooms. A room that asks it for the
    version does not thereby use the verbs, so the front door's imports are left out.
    """
    graph = grimp.build_graph("honed", cache_dir=None)
    edges = networkx.DiGraph(
        (module, imported)
        for module in graph.modules - {"honed"}
        for imported in graph.find_modules_directly_imported_by(module)
    )
    circles = [set(c) for c in networkx.strongly_connected_components(edges) if len(c) > 1]
    assert circles == []


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def statements_run_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a file outside functions and outside `if TYPE_CHECKING`."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            continue
        for field in ("body", "orelse", "finalbody"):
            yield from statements_run_on_import(getattr(statement, field, []))
        for handler in getattr(statement, "handlers", []):
            yield from statements_run_on_import(handler.body)


@cache
def imported_at_the_top(module: str) -> frozenset[str]:
    """Dotted names that loading `module` loads; a name that is no module may be among them."""
    names: set[str] = set()
    for statement in statements_run_on_import(tree_of(module).body):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            names |= {f"{statement.module}.{alias.name}" for alias in statement.names}
            names.add(statement.module)
    return frozenset(names)


def loads(module: str, framework: str, seen: set[str]) -> bool:
    """Whether importing `module` imports `framework`, directly or through other modules."""
    seen.add(module)
    names = imported_at_the_top(module) | {module.rpartition(".")[0]}
    if any(name.partition(".")[0] == framework for name in names):
        return True
    following = (names & MODULES.keys()) - seen - {"honed"}
    return any(loads(name, framework, seen) for name in sorted(following) if name not in seen)


def is_inside(module: str, rooms: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize("framework", OWNERS)
def test_a_framework_is_imported_only_by_the_files_that_own_it(framework: str) -> None:
    """A variant's own file is loaded to list it, so it may not load its framework either."""
    variants = {f"{room}.{name}" for room in VARIANT_ROOMS for name in discovery.names(room)}
    loading = {module for module in MODULES if loads(module, framework, set())}
    assert {m for m in loading if not is_inside(m, OWNERS[framework])} == set()
    assert loading & variants == set()


@pytest.mark.parametrize("framework", ROOMS)
def test_a_library_of_one_room_is_imported_at_the_top_of_that_room_only(framework: str) -> None:
    importing = {
        module
        for module in MODULES
        if any(name.partition(".")[0] == framework for name in imported_at_the_top(module))
    }
    assert {m for m in importing if not is_inside(m, ROOMS[framework])} == set()


def test_no_file_is_too_long() -> None:
    lengths = {m: len(path.read_text().splitlines()) for m, path in MODULES.items()}
    assert {m: n for m, n in lengths.items() if n > LONGEST_FILE} == {}


@pytest.mark.parametrize("room", VARIANT_ROOMS)
def test_every_file_of_a_room_of_variants_loads(room: str) -> None:
    survey = discovery.survey(room)
    assert dict(survey.broken) == {}
    assert set(survey.working) == set(discovery.names(room)) != set()


def test_every_knob_that_is_declared_anywhere_is_in_the_catalogue() -> None:
    declared = {
        keyword.value.value
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Knob")
        for keyword in node.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }
    assert declared - set(knobs.all_knobs()) == set()
    assert declared


def test_no_file_outside_a_variants_own_branches_on_its_name() -> None:
    """What is special about a backend or a workload stands in its own file."""
    names = {n for room in ("honed.backends", "honed.workloads") for n in discovery.names(room)}
    branches = [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module in MODULES
        if not is_inside(module, ("honed.backends", "honed.workloads"))
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Compare | ast.match_case)
        for part in ast.walk(node if isinstance(node, ast.Compare) else node.pattern)
        if isinstance(part, ast.Constant) and part.value in names
    ]
    assert branches == []


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_links_to_exists(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


NAMED_PATH = re.compile(
    r"(?<![\w/.~-])((?:honed|tests|benchmarks|docs|examples|scripts)/[\w./-]*\w)"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_and_benchmarks_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    paths = [path for path in NAMED_PATH.findall(text) if "NAME" not in path]
    paths += [f"benchmarks/{name}.py" for name in re.findall(r"-m benchmarks\.(\w+)", text)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_page_of_rooms_names_every_room_and_nothing_else() -> None:
    tokens = re.findall(r"`([\w./]+)`", (ROOT / "docs/architecture.md").read_text())
    named = {t for t in tokens if t.endswith((".py", "/")) and not t.startswith("tests/")}
    assert {t for t in named if not (PACKAGE / t.removeprefix("honed/")).exists()} == set()
    rooms = {f"{p.name}/" for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    files = {p.name for p in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert (rooms | files) - named == set()


@pytest.mark.parametrize("script", sorted(ROOT.glob("benchmarks/*.py")), ids=lambda p: p.name)
def test_benchmarks_use_names_that_exist(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("honed"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or f"{node.module}.{alias.name}" in MODULES


def test_the_page_of_the_record_names_every_key() -> None:
    page = (ROOT / "docs/record.md").read_text()
    parts = (record.Record, record.Samples, record.Metrics, record.Latency, record.Memory)
    parts += (record.Fidelity, record.Accuracy, record.InputFacts, record.Doubt)
    keys = {field.name for part in parts for field in dataclasses.fields(part)}
    assert {key for key in keys if not re.search(rf"\b{key}\b", page)} == set()
