"""From the files of a run to `report.html`."""

from collections import Counter
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from guidelines.plain import printable
from synth import storage
from train.report.charts import curve_figures, loss_figures, plane_figures
from train.report.examples import examples
from train.report.read import RunFiles, read_run
from train.report.tables import (
    Cell,
    Table,
    acceptance_table,
    change_table,
    curve_table,
    drops_table,
    groups_of,
    macro_table,
    number,
    quality_table,
    safety_table,
)
from train.report.verdict import changes, headline, warnings

REPORT_FILE = "report.html"


def write_report(run: str, redact: bool = True) -> str:
    """Write the report of what `run` holds so far and return its path.

    Args:
        run: The run directory.
        redact: Show harmful prompts and all generated text as their length alone.

    Raises:
        BadInput: `run` is no run directory.
    """
    path = storage.join(run, REPORT_FILE)
    storage.replace(path, render(read_run(run), redact).encode())
    return path


def render(files: RunFiles, redact: bool) -> str:
    """Return the page. Every value is escaped: nothing in a run is trusted to be plain text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(REPORT_FILE).render(
        title=str(files.config.get("run", files.run)),
        headline=headline(files.comparison),
        changes=changes(files),
        warnings=warnings(files),
        models=_models_table(files),
        stages=_stages_table(files),
        config=yaml.safe_dump(dict(files.config), sort_keys=False, allow_unicode=True),
        data=[
            shown(policy, manifest)
            for policy, manifest in files.curated.items()
            for shown in (acceptance_table, drops_table)
        ],
        training=_training_table(files),
        losses=loss_figures(files),
        groups=[
            {
                "name": name,
                "safety": safety_table(name, models),
                "quality": quality_table(name, models),
                "curve": curve_table(name, models),
            }
            for name, models in groups_of(files)
        ],
        macro=macro_table(files),
        planes=plane_figures(files),
        curves=curve_figures(files),
        comparisons=change_table(files.comparison),
        redact=redact,
        examples=examples(files, redact),
    )


def _plain(value: object) -> object:
    """Return what an expression shows; text that is no markup of ours without hidden characters."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _models_table(files: RunFiles) -> Table:
    rows = []
    for model, records in files.records.items():
        prompts = Counter(label for label, _ in {(r.label, r.origin) for r in records})
        outcomes = files.evals[model]["outcomes"]
        cells = [
            Cell(text=str(files.evals[model]["model"])),
            Cell(text=", ".join(f"{count} {label}" for label, count in sorted(prompts.items()))),
            number(files.results[model]["samples"]),
            Cell(text=", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())),
        ]
        rows.append((model, cells))
    return Table(
        caption="The models, and what each was asked.",
        columns=["Model", "Identity", "Prompts, before attacks", "Answers a prompt", "Answers"],
        rows=rows,
    )


def _stages_table(files: RunFiles) -> Table:
    seconds = {
        **{f"curate {policy}": m["seconds"] for policy, m in files.curated.items()},
        **{f"finetune {arm}": m["seconds"] for arm, m in files.models.items()},
        **{f"evaluate {model}": m["seconds"] for model, m in files.evals.items()},
        **files.stages,
    }
    rows = [(name, [number(round(took, 1))]) for name, took in seconds.items()]
    return Table(caption="Time by stage.", columns=["Stage", "Seconds"], rows=rows)


def _training_table(files: RunFiles) -> Table:
    keys = ("rows", "heldout_rows", "left_out", "steps", "tokens")
    rows = [
        (arm, [number(manifest.get(key)) for key in keys]) for arm, manifest in files.models.items()
    ]
    return Table(
        caption="The students, one training seed each.",
        columns=["Arm", "Rows", "Rows held out", "Rows left out (too long)", "Steps", "Tokens"],
        rows=rows,
    )
