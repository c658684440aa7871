"""From the files of a run to `report.html`."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from guidelines.plain import printable
from synth import storage
from train.report.caveats import caveats
from train.report.charts import (
    attack_planes,
    curve_figures,
    family_figures,
    loss_figures,
    plane_figures,
)
from train.report.examples import outcome_groups
from train.report.figures import marker
from train.report.judges import (
    corrected_table,
    disagreement_table,
    guards_table,
    judges_table,
    refusals_table,
    spoken_by,
    strongreject_table,
)
from train.report.layers import (
    layer_keys,
    layer_table,
    plane_scatters,
    position_figures,
    separation_figures,
)
from train.report.read import RunFiles, read_run
from train.report.sections import (
    acceptance_table,
    change_table,
    citations_table,
    counterfactual_table,
    drops_table,
    guidelines_table,
    helpfulness_table,
    methods_table,
    models_table,
    stages_table,
    training_table,
    utility_table,
)
from train.report.tables import (
    RULES,
    Table,
    group_tables,
    headline_judge,
    style_of,
    trade_off_table,
)
from train.report.verdict import verdict

_TORN = re.compile(r"(?<=\d) (?=%)|(?<=\bp) (?==|&lt;)|(?<==|;) (?=\d)|(?<=\d) (?=points)")

REPORT_FILE = "report.html"
CONTENTS = {  # ids of the sections, their short names, and the part of the page that they show
    "verdict": ("Verdict", "verdict"),
    "trade-off": ("Safety and use", "trade_off"),
    "caveats": ("Caveats", "caveats"),
    "families": ("Attacks", "families"),
    "curves": ("Many answers", "curves"),
    "judges": ("Judges", "judges"),
    "utility": ("Usefulness kept", "utility"),
    "faithfulness": ("Faithfulness", "faithfulness"),
    "layers": ("Inside the models", "separation"),
    "examples": ("Answers", "outcomes"),
    "numbers": ("All numbers", "groups"),
    "data": ("Data", "data"),
    "training": ("Training", "training"),
    "run": ("The run", "models"),
}


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


def write_report(run: str, redact: bool = True) -> str:
    """Write the report of what `run` holds so far and return its path.

    Args:
        run: The run directory.
        redact: Show harmful prompts and all generated text as their length alone.

    Raises:
        BadInput: `run` is no run directory.
    """
    path = storage.join(run, REPORT_FILE)
    storage.replace(path, render_report(read_run(run), redact).encode())
    return path


def render_report(files: RunFiles, redact: bool) -> str:
    """Return the page."""
    page = {
        "verdict": verdict(files),
        "spoken": spoken_by(files),
        "caveats": caveats(files),
        **_evaluation(files),
        **_representation(files),
        **_origins(files),
        "outcomes": outcome_groups(files, redact),
    }
    return template(REPORT_FILE).render(
        title=str(files.config.get("run", files.run)),
        redact=redact,
        contents=[(id, name) for id, (name, part) in CONTENTS.items() if _has(page, part)],
        is_proxy=headline_judge(files) == RULES,
        keys=[(model, style_of(files, model)) for model in files.results],
        config=yaml.safe_dump(dict(files.config), sort_keys=False, allow_unicode=True),
        **page,
    )


def _evaluation(files: RunFiles) -> dict[str, object]:
    return {
        "trade_off": trade_off_table(files),
        "planes": plane_figures(files),
        "attack_planes": attack_planes(files),
        "families": family_figures(files),
        "curves": curve_figures(files, attacked=False),
        "attack_curves": curve_figures(files, attacked=True),
        "judges": judges_table(files),
        "corrected": _both(corrected_table, files),
        "disagreement": disagreement_table(files),
        "guards": _both(guards_table, files),
        "refusals": _both(refusals_table, files),
        "strongreject": _both(strongreject_table, files),
        "utility": utility_table(files),
        "helpfulness": helpfulness_table(files),
        "faithfulness": citations_table(files),
        "counterfactual": counterfactual_table(files),
        "guidelines": guidelines_table(files),
        "groups": group_tables(files),
        "methods": methods_table(files.comparison),
        "comparisons": change_table(files.comparison),
    }


def _representation(files: RunFiles) -> dict[str, object]:
    return {
        "separation": separation_figures(files),
        "positions": position_figures(files),
        "scatters": plane_scatters(files),
        "layer_table": layer_table(files),
        "layer_keys": layer_keys(files.representation),
        "family_keys": layer_keys(files.representation)[2:],
    }


def _both(make: Callable[[RunFiles, bool], Table], files: RunFiles) -> dict[str, Table]:
    return {"plain": make(files, False), "attacked": make(files, True)}


def _origins(files: RunFiles) -> dict[str, object]:
    return {
        "models": models_table(files),
        "stages": stages_table(files),
        "data": [
            shown(policy, manifest)
            for policy, manifest in files.curated.items()
            for shown in (acceptance_table, drops_table)
        ],
        "training": training_table(files),
        "losses": loss_figures(files),
    }


def _has(page: Mapping[str, object], part: str) -> bool:
    found = page.get(part)
    return bool(found.rows if isinstance(found, Table) else found)
