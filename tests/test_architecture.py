"""The rules the code is built by, checked where a tool can: layers, imports, sizes, no stubs."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guidelines import load_guidelines
from guidelines.files import sha256
from guidelines.released import ROOT as GUIDELINES
from guidelines.released import shipped_names

ROOT = Path(__file__).parents[1]
PACKAGES = ("guidelines", "synth", "train", "ray_jobs")
MAX_FUNCTION_LINES = 60
LATER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")  # in two parts: this file is read
ENGINES = ("torch", "vllm", "transformers", "trl")
HEAVY = {
    "synth": ENGINES,
    "synth.synthesize": ENGINES,
    "synth.dataset": ENGINES,
    "train": ENGINES,
    "train.students": ENGINES,
    "train.evals": ENGINES,
    "train.report": ENGINES,
    "train.report.recipes": ENGINES,
    "ray_jobs.cli": ("ray", *ENGINES),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sources(*PACKAGES, "tests"):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def test_imports_go_one_way() -> None:
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    words = [sys.executable, "-c", command, "--no-cache", "--no-logo"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", HEAVY)
def test_importing_a_package_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*({{*{HEAVY[module]!r}}} & {{*sys.modules}}))"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_released_guidelines_are_those_of_the_lock() -> None:
    shipped = {
        path.relative_to(GUIDELINES).as_posix(): sha256(path.read_bytes())
        for name in shipped_names()
        for path in (GUIDELINES / name).rglob("*.md")
    }
    assert json.loads((GUIDELINES / "lock.json").read_text()) == shipped
    for name in shipped_names():
        assert load_guidelines(name).guidelines


def test_no_function_is_long() -> None:
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, tree in trees()
        for node in functions(tree)
    }
    assert lengths
    assert {place: n for place, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}


def test_every_function_of_the_packages_is_annotated() -> None:
    bare = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees()
        for node in functions(tree)
        if node.name != "__init__" and node.returns is None
    ]
    assert bare == []


def test_nothing_is_left_for_later() -> None:
    stubs = [
        f"{path}:{node.lineno}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "NotImplemented" + "Error")
        or (isinstance(node, ast.ExceptHandler) and is_bare_pass(node.body))
    ]
    notes = [path for path in sources(*PACKAGES, "tests") if LATER.search(path.read_text())]
    assert stubs == []
    assert notes == []


def test_only_protocols_have_functions_without_a_body() -> None:
    empty = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees()
        for node in functions(without_protocols(tree))
        if isinstance(node.body[-1], ast.Expr)
        and isinstance(node.body[-1].value, ast.Constant)
        and node.body[-1].value.value is Ellipsis
    ]
    assert empty == []


def is_bare_pass(body: list[ast.stmt]) -> bool:
    return all(isinstance(statement, ast.Pass) for statement in body)


def without_protocols(tree: ast.Module) -> ast.Module:
    kept = [
        node
        for node in tree.body
        if not (isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases))
    ]
    return ast.Module(body=kept, type_ignores=[])
