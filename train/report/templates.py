"""The templates of pages, and what all of them show text with."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from guidelines.plain import printable
from train.report.figures import marker

_TORN = re.compile(r"(?<=\d) (?=%)|(?<=\bp) (?==|&lt;)|(?<==|;) (?=\d)|(?<=\d) (?=points)")


def template(name: str, *folders: Path) -> Template:
    """Return a template out of `folders` or this one, whose parts it may use either way.

    Every value it shows is escaped: nothing in a run is trusted to be plain text.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fluent"] = fluent
    return environment.get_template(name, globals={"marker": marker})


def fluent(text: str) -> Markup:
    """Return a text that breaks at underscores, and never between a number and its unit."""
    return Markup(_TORN.sub("&nbsp;", str(escape(printable(text)))).replace("_", "_<wbr>"))


def _plain(value: object) -> object:
    """Return what an expression shows; text that is no markup of ours without hidden characters."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
