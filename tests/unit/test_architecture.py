"""The shape of the package: which way imports point, what costs nothing to import, how long things may be."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import melink
from melink import registry

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "melink"

ORDER = (
    ("records",),
    ("errors",),
    ("registry",),
    ("config",),
    ("progress",),
    ("kb",),
    ("datasets",),
    ("features",),
    ("candidates",),
    ("methods",),
    ("ranking",),
    ("rerank",),
    ("enrich",),
    ("links", "runs"),
    ("linker",),
    ("evaluate",),
    ("train",),
    ("demo",),
    ("serve",),
    ("cli",),
    ("__main__",),
)
"""Left to right: a part imports only itself and what stands to its left. The package itself stands left of all."""
RANK = {part: place for place, parts in enumerate(ORDER) for part in parts}

HEAVY = ("torch", "transformers", "lancedb", "pyarrow", "tantivy", "scipy", "pandas", "PIL", "numpy")
MEDIAN_FILE, LONGEST_FILE, LONGEST_PAPER = 120, 400, 500
PAPERS = {target.partition(":")[0] for target in registry.TABLES["method"].values()}
"""Modules of registered methods: a paper is read from top to bottom in one file."""
MOST_FUNCTIONS, LONGEST_FUNCTION = 40, 70

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in files()}


def part_of(module: str) -> str:
    """Return the part of the package that a module belongs to; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of the package that a tree imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "melink")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            if node.module and node.module.split(".")[0] == "melink":
                for alias in node.names:
                    inside = f"{node.module}.{alias.name}"
                    yield inside if inside in TREES else node.module


def at_import_time(tree: ast.Module) -> Iterator[str]:
    """Yield what importing a module imports: not what stands in functions or is for the type checker only."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Function | ast.Lambda):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)
        else:
            waiting += ast.iter_child_nodes(node)


def arrows(module: str, tree: ast.AST) -> list[str]:
    """Return the imports of a module that point to the right."""
    own = part_of(module)
    wrong = []
    for target in imports(tree):
        part = part_of(target)
        if own and part and part != own and RANK[part] >= RANK[own]:
            wrong.append(f"{module} → {target}")
    return wrong


def test_every_module_has_its_place() -> None:
    assert {part_of(module) for module in TREES} - {""} <= set(RANK)


def test_imports_point_left() -> None:
    assert [arrow for module, tree in TREES.items() for arrow in arrows(module, tree)] == []


def test_the_walk_sees_what_it_should() -> None:
    wrong = ast.parse("def f():\n    from melink.linker import Linker\nif TYPE_CHECKING:\n    import melink.cli.link\n")
    assert arrows("melink.kb.store", wrong) == ["melink.kb.store → melink.linker", "melink.kb.store → melink.cli.link"]
    assert arrows("melink.cli.link", wrong) == []
    assert list(at_import_time(wrong)) == []
    assert list(at_import_time(ast.parse("class A:\n    from melink.linker import Linker"))) == ["melink.linker"]


def test_no_import_cycles() -> None:
    graph = {module: set(at_import_time(tree)) & set(TREES) - {module} for module, tree in TREES.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path, module))
        if module not in done:
            for target in graph[module]:
                visit(target, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def loaded(statement: str) -> set[str]:
    """Return the modules that a statement loads in a fresh interpreter."""
    script = f"{statement}; import sys; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_melink_is_light() -> None:
    modules = loaded("import melink")
    assert not modules & set(HEAVY)
    assert {module for module in modules if module.split(".")[0] == "melink"} == {"melink"}
    bare = loaded("pass")
    assert len(modules - bare) < 120


def test_importing_records_is_light() -> None:
    assert not loaded("import melink; melink.Mention, melink.Link, melink.MelinkError") & set(HEAVY)


def test_the_table_of_verbs_is_light() -> None:
    modules = loaded("import melink.cli.main")
    assert not modules & set(HEAVY)


def test_public_names_exist() -> None:
    assert len(melink.__all__) <= 30
    assert all(getattr(melink, name) is not None for name in melink.__all__)
    assert dir(melink) == sorted(melink.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        _ = melink.Missing


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in registry.TABLES for name in registry.names(kind)])
def test_registered_names_are_importable(kind: str, name: str) -> None:
    found = registry.load(kind, name)
    assert found.__doc__ or kind == "dataset"
    assert getattr(found, "name", name) == name


def test_file_lengths() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert statistics.median(lengths.values()) <= MEDIAN_FILE
    assert {name: n for name, n in lengths.items() if n > (LONGEST_PAPER if name in PAPERS else LONGEST_FILE)} == {}


def functions() -> Iterator[tuple[str, Function]]:
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{module}.{node.name}", node


def length(node: Function) -> int:
    """Return the lines of a function without its docstring; of a verb, whose signature is its options, the body's."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if not body:
        return 0
    verb = any(isinstance(each, ast.Name) and each.id == "verb" for each in node.decorator_list)
    inside = (node.end_lineno or 0) - body[0].lineno + 1
    return inside if verb else inside + node.body[0].lineno - node.lineno


def test_function_lengths() -> None:
    lengths = {name: length(node) for name, node in functions()}
    assert sorted(lengths.values())[int(0.95 * len(lengths))] <= MOST_FUNCTIONS
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def public(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield public classes and functions, and the public methods of public classes."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for inside in node.body:
                    if isinstance(inside, Function) and not inside.name.startswith("_"):
                        yield f"{node.name}.{inside.name}", inside


def test_public_things_are_documented() -> None:
    bare = [module for module, tree in TREES.items() if not ast.get_docstring(tree)]
    for module, tree in TREES.items():
        for name, node in public(tree):
            assert isinstance(node, Function | ast.ClassDef)
            documented = ast.get_docstring(node) is not None
            bare += [] if documented else [f"{module}.{name}"]
    assert bare == []


def test_everything_is_annotated() -> None:
    bare = []
    for name, node in functions():
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        given = [argument for argument in every if argument.arg not in ("self", "cls")]
        if (node.returns is None and node.name != "__init__") or any(a.annotation is None for a in given):
            bare.append(name)
    assert bare == []


FORBIDDEN_IMPORTS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {("torch", "load"), ("yaml", "load"), ("yaml", "unsafe_load"), ("os", "system"), ("os", "popen")}


def dangers(tree: ast.AST) -> list[str]:
    """Return what could run foreign code: pickles, eval, shells."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_IMPORTS]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_IMPORTS:
            found.append(str(node.module))
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            found.append(node.func.id)
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            call = (node.func.value.id, node.func.attr)
            found += [".".join(call)] if call in FORBIDDEN_METHODS else []
        for option in node.keywords:
            on = isinstance(option.value, ast.Constant) and option.value.value is True
            found += [str(option.arg)] if on and option.arg in ("shell", "allow_pickle", "trust_remote_code") else []
    return found


def test_nothing_runs_foreign_code() -> None:
    assert {module: dangers(tree) for module, tree in TREES.items() if dangers(tree)} == {}


def test_the_search_for_dangers_finds_them() -> None:
    script = "import pickle\nfrom joblib import load\neval('1')\ntorch.load('x')\nnp.load('x', allow_pickle=True)\n"
    assert dangers(ast.parse(script)) == ["pickle", "joblib", "eval", "torch.load", "allow_pickle"]


def test_only_evaluation_may_inject_gold() -> None:
    users = {module for module, tree in TREES.items() if "melink.candidates.inject" in set(imports(tree))}
    assert users == {"melink.evaluate.run"}


def test_no_handler_only_passes() -> None:
    silent = defaultdict(list)
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                if node.type is None:
                    silent[module].append(node.lineno)
                if all(isinstance(each, ast.Pass) for each in node.body):
                    silent[module].append(node.lineno)
    assert silent == {}


def test_the_files_that_a_project_has() -> None:
    missing = [
        name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE") if not (ROOT / name).is_file()
    ]
    assert missing == []
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_test_files_have_names_of_their_own() -> None:
    names = sorted(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [first for first, second in pairwise(names) if first == second] == []
