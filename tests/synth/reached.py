"""What a recipe's rows are made with: all that its step functions call, followed by imports."""

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from importlib.resources import files
from types import CodeType, FunctionType, ModuleType
from typing import Any

from synth.judges.base import Judge, ModelJudge, RuleJudge
from synth.recipes import RECIPES
from synth.recipes.base import Recipe, Step

# Folders of what is a method's own; what every run goes through is no recipe's to declare.
METHODS = ("synth.recipes.", "synth.judges.", "synth.seeds.")
SHAPE = "synth.recipes.base"  # writes no text: it says what a recipe is
PROMPTS = {entry.name for entry in files("synth.prompts").iterdir()}


class Reached:
    """What can be reached from some functions, themselves among it.

    Attributes:
        objects: Functions, classes, and modules taken whole.
        modules: Where they, and the constants they read, are from.
        judges: Judges they hold, and all of the table where they look one up there.
        prompts: Names of the prompt files they name.
    """

    def __init__(self, starts: Iterable[object], covered: Iterable[object] = ()) -> None:
        """Follow `starts` as far as what is `covered`, within this package and their own."""
        starts = [*starts]
        self.packages = {"synth", *(module_of(start).partition(".")[0] for start in starts)}
        self.objects: set[object] = set(covered)
        self.modules: set[str] = set()
        self.judges: set[str] = set()
        self.prompts: set[str] = set()
        self.follow(starts)

    def follow(self, found: Iterable[object]) -> None:
        """Go on from each of these objects."""
        for each in found:
            match inspect.unwrap(each) if callable(each) else each:
                case RuleJudge() | ModelJudge() as judge:
                    self.judges.add(judge.name)
                case partial() as bound:
                    self.follow([bound.func, *bound.args, *bound.keywords.values()])
                case Mapping() as table:
                    self.follow(table.values())
                case property(fget=inner) | classmethod(__func__=inner):
                    self.follow([inner])
                case ModuleType(__name__=name) as module if (
                    name.startswith(METHODS) and module not in self.objects
                ):
                    self.objects.add(module)
                    self.modules.add(name)
                    self.follow(vars(module).values())
                case FunctionType() | type() as code if self.is_new(code):
                    self.enter(code)

    def is_new(self, code: FunctionType | type) -> bool:
        """Say whether a function or class is of the packages followed, and not yet known."""
        return code not in self.objects and code.__module__.partition(".")[0] in self.packages

    def enter(self, code: FunctionType | type) -> None:
        """Go on from what a function or a class is made of."""
        self.objects.add(code)
        self.modules.add(code.__module__)
        if isinstance(code, type):
            self.follow(vars(code).values())
            return
        words = [*words_of(code.__code__)]
        self.prompts.update(PROMPTS.intersection(words))
        named = [word for word in words if word in code.__globals__]
        imported = imports_of(code.__module__)
        self.modules.update(imported[name] for name in named if name in imported)
        self.follow(code.__globals__[name] for name in named)
        self.follow(cell.cell_contents for cell in code.__closure__ or ())


def module_of(function: object) -> str:
    """Return where a function is from, also with some of its arguments given."""
    return module_of(function.func) if isinstance(function, partial) else function.__module__


def words_of(code: CodeType) -> Iterator[str]:
    """Yield the names and texts in a function's code, and in the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from words_of(constant)
        elif isinstance(constant, str):
            yield constant


@cache
def imports_of(module: str) -> dict[str, str]:
    """Return which module each constant is from that a module imports by name."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {
        alias.asname or alias.name: node.module or ""
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if not callable(vars(sys.modules[module])[alias.asname or alias.name])
    }


def steps_of(recipe: Recipe) -> list[Callable[..., Any]]:
    """Return the functions that make a recipe's rows; all others only choose among rows."""
    return [step.run for step in recipe.steps if isinstance(step, Step)]


def judging(judges: Iterable[Judge]) -> Reached:
    """Return what these judges' verdicts are made with."""
    parts = ([j.judge] if isinstance(j, RuleJudge) else [j.ask, j.parse] for j in judges)
    return Reached(part for both in parts for part in both)


def shared(recipe: Recipe, reached: Reached) -> set[str]:
    """Return the modules reached that not the version of `recipe` alone speaks for."""
    others = {
        module
        for other in RECIPES.values()
        if other.name != recipe.name
        for module in Reached(steps_of(other)).modules
    }
    own = {module_of(step) for step in steps_of(recipe)}
    return {
        module
        for module in reached.modules - own - {SHAPE}
        if module.startswith(METHODS)
        and (module in others or not module.startswith("synth.recipes."))
    }


def undeclared(recipe: Recipe) -> set[str]:
    """Return what a recipe's rows are made with and it does not say: judges, modules, prompts."""
    reached = Reached(steps_of(recipe), covered=judging(recipe.judges).objects)
    speaking = (recipe.name, *(module.rpartition(".")[2] for module in recipe.shares))
    silent = {
        name
        for name in reached.prompts
        if not name.startswith(tuple(f"{word}{end}" for word in speaking for end in "._"))
    }
    judges = reached.judges - {judge.name for judge in recipe.judges}
    return judges | silent | (shared(recipe, reached) - {*recipe.shares})
