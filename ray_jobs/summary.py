"""What the stages print: a few tables from manifests and results."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from guidelines.plain import one_line
from ray_jobs.console import clock, make_table
from synth.workspace.stage import Manifest
from train.report.read import read_run
from train.report.tables import Json, asr_name, asr_of, groups_of, headline_judge, percent, points


def outcomes_table(outcomes: Mapping[str, int]) -> Table:
    """Return rows by outcome."""
    rows = [(name, f"{count:,}") for name, count in sorted(outcomes.items())]
    return make_table("Traces by outcome", ("Outcome", "Rows"), rows)


def acceptance_table(manifest: Manifest) -> Table:
    """Return how many traces became training data, an arm and label a row."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for part in manifest["acceptance"]:
        cell = counts.setdefault((part["arm"], part["label"]), Counter())
        cell.update(traces=part["traces"], accepted=part["accepted"])
    rows = [
        (arm, label, cell["traces"], cell["accepted"], f"{cell['accepted'] / cell['traces']:.1%}")
        for (arm, label), cell in sorted(counts.items())
    ]
    title = f"Accepted under the policy {manifest['policy']}"
    return make_table(title, ("Arm", "Label", "Traces", "Accepted", "Share"), rows, texts=2)


def categories_table(manifest: Manifest) -> Table:
    """Return the acceptance of every arm, label and category."""
    rows = [
        (
            f"{part['arm']}, {part['label']}, {part['category']}",
            part["traces"],
            part["accepted"],
            f"{part['accepted'] / part['traces']:.1%}",
        )
        for part in manifest["acceptance"]
    ]
    title = f"Acceptance by category, policy {manifest['policy']}"
    return make_table(title, ("Arm, label, category", "Traces", "Accepted", "Share"), rows)


def drops_table(manifest: Manifest) -> Table:
    """Return how many traces each reason dropped, an arm a column, or each step of one."""
    drops = _drops_of_steps(manifest)
    totals: Counter[str] = Counter()
    for reasons in drops.values():
        totals.update(reasons)
    rows = [
        (reason, *(reasons.get(reason, 0) for reasons in drops.values()))
        for reason, _ in totals.most_common()
    ]
    return make_table("Dropped, by the first reason", ("Reason", *drops), rows)


def _drops_of_steps(manifest: Manifest) -> dict[str, Counter[str]]:
    """Return rows by reason: of arms, and of those that dropped at several steps, of each step."""
    parts = manifest["drops_by_step"]
    steps = {
        arm: {part["step"] for part in parts if part["arm"] == arm} for arm in manifest["drops"]
    }
    drops: dict[str, Counter[str]] = {}
    for arm, found in steps.items():
        for step in sorted(found) or [0]:
            name = arm if found <= {0} else f"{arm}, step {step}"
            drops[name] = Counter(
                {p["reason"]: p["rows"] for p in parts if (p["arm"], p["step"]) == (arm, step)}
            )
    return drops


def students_table(manifests: Mapping[str, Manifest]) -> Table:
    """Return what each model of each arm was trained on: rows, or pairs."""
    keys = ("kind", "rows", "heldout_rows", "left_out", "steps", "tokens")
    rows = [(name, *(_number(one.get(key)) for key in keys)) for name, one in manifests.items()]
    columns = ("Model", "Kind", "Rows or pairs", "Held out", "Left out", "Steps", "Tokens")
    return make_table("Students", columns, rows, texts=2)


def results_tables(run: str) -> Iterator[Table]:
    """Yield the results on each group of prompts, a model a row, with 95 % intervals."""
    files = read_run(run)
    judge = headline_judge(files)
    columns = (
        "Model",
        asr_name(judge),
        "Over-refusal, benign",
        "Discrimination, points",
        "Prompts h / b",
        "Answers",
        "Undetermined",
    )
    for name, models in groups_of(files):
        rows = [_results_row(model, group, judge) for model, group in models.items()]
        yield make_table(name, columns, rows)


def _results_row(model: str, group: Json, judge: str) -> tuple[object, ...]:
    labels = group["labels"]
    harmful, benign = (labels.get(label, {}) for label in ("harmful", "benign"))
    cells = (
        percent(asr_of(group, judge)),
        percent(benign.get("over_refusal")),
        points(group["discrimination"]),
    )
    return (
        model,
        *(f"{cell.text} {cell.interval}".strip() for cell in cells),
        f"{harmful.get('prompts', 0)} / {benign.get('prompts', 0)}",
        sum(found["answers"] for found in labels.values()),
        sum(found["undetermined"] for found in labels.values()),
    )


def times_table(seconds: Mapping[str, float]) -> Table:
    """Return how long each stage took."""
    rows = [(stage, clock(took)) for stage, took in seconds.items()]
    return make_table("Time", ("Stage", "h:mm:ss"), rows)


def say_unmet(console: Console, unmet: Sequence[str]) -> None:
    """Say what was asked for and is not there, a line each."""
    for line in unmet:
        console.print(one_line(f"unmet: {line}"), markup=False, highlight=False)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
