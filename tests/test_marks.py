"""Every constant of a published method says where it is from, on its own line."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from synth.recipes import RECIPES
from synth.recipes.base import Options

ROOT = Path(__file__).parents[1]
METHODS = ("recipes", "surgery", "trees", "pairs", "bestof")
MARK = re.compile(r"#\s*(paper|code|reported|ours)\b")
MACHINERY = {"synth/recipes/__init__.py", "synth/recipes/base.py"}
NO_CHOICE = {"Recipe", "TypeVar", "re.compile", "partial"}
# Not choices of a method: what is called how, and how it is read.
PLAIN = re.compile(r"^_?(VERSION|RECIPE|RECIPES|[A-Z_]*(ROLE|NAME|KEY|FILE)S?)$")

SOURCES = [
    path
    for folder in METHODS
    for path in sorted((ROOT / "synth" / folder).glob("*.py"))
    if path.relative_to(ROOT).as_posix() not in MACHINERY
]


def constants(source: str) -> Iterator[tuple[str, int, int]]:
    """Yield the name, first and last line of every constant that holds a value of its own."""
    tree = ast.parse(source)
    for node in tree.body:
        yield from _of_module(node)
        if isinstance(node, ast.ClassDef) and any("Options" in ast.unparse(b) for b in node.bases):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and field.value is not None:
                    name = ast.unparse(field.target)
                    if "ClassVar" not in ast.unparse(field.annotation):
                        yield f"{node.name}.{name}", field.lineno, field.end_lineno or field.lineno


def _of_module(node: ast.stmt) -> Iterator[tuple[str, int, int]]:
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return
    if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in NO_CHOICE:
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for name in (ast.unparse(target) for target in targets):
        if _is_constant(name) and any(isinstance(n, ast.Constant) for n in ast.walk(node.value)):
            yield name, node.lineno, node.end_lineno or node.lineno


def _is_constant(name: str) -> bool:
    bare = re.sub(r"[(), ]", "", name)
    return bare.replace("_", "").isupper() and not PLAIN.match(name)


def unmarked(source: str) -> list[str]:
    """Return the constants without a mark on any of their lines."""
    lines = source.splitlines()
    return [
        name
        for name, first, last in constants(source)
        if not any(MARK.search(line) for line in lines[first - 1 : last])
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_constant_of_a_method_says_where_it_is_from(path: Path) -> None:
    assert unmarked(path.read_text(encoding="utf-8")) == []


def test_a_constant_without_a_mark_is_found() -> None:
    source = (
        "A = 1  # paper\nB = 2\nC, D = 3, 4\n_E = 'five'  # ours: a word\nother = 6\nVERSION = 1\n"
        "class XOptions(Options):\n    PLAN_ONLY: ClassVar = ('f',)\n    f: int = 7\n"
        "    g: int = 8  # code\n"
    )
    assert unmarked(source) == ["B", "(C, D)", "XOptions.f"]


def test_recipes_are_looked_at() -> None:
    assert len(SOURCES) > 5


@pytest.mark.parametrize("name", RECIPES)
def test_options_are_documented_one_by_one(name: str) -> None:
    options = type(RECIPES[name].options)
    text = options.__doc__ or ""
    assert options is Options or [f for f in options.model_fields if f"    {f}: " not in text] == []


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_its_paper_and_section(name: str) -> None:
    text = (ROOT / "synth" / "recipes" / f"{name}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert re.search(r"arXiv \d{4}\.\d{5}", docstring)
    assert "section" in docstring
