"""Where the numbers come from: data, training, models, time."""

from collections import Counter

from train.evals.suite import SUITE as UTILITY
from train.report.cells import NONE, Cell, Json, Row, Table, number
from train.report.groups import style_of
from train.report.read import RunFiles


def models_table(files: RunFiles) -> Table:
    """Return the models, and what each was asked."""
    rows = []
    for model, records in files.records.items():
        asked = {(UTILITY if r.suite == UTILITY else r.label, r.origin) for r in records}
        prompts = Counter(label for label, _ in asked)
        outcomes = Counter(record.outcome for record in records)
        cells = [
            Cell(text=str(files.evals[model].get("model", NONE))),
            Cell(text=", ".join(f"{count} {label}" for label, count in sorted(prompts.items()))),
            number(files.results[model]["samples"]),
            Cell(text=", ".join(f"{n:,} {outcome}" for outcome, n in sorted(outcomes.items()))),
        ]
        rows.append(Row(header=model, cells=cells, style=style_of(files, model)))
    return Table(
        caption="The models, and what each was asked.",
        columns=["Model", "Identity", "Prompts, before attacks", "Answers a prompt", "Answers"],
        rows=rows,
        texts=3,
    )


def stages_table(files: RunFiles) -> Table:
    """Return how long every stage took."""
    seconds = {
        **{f"curate {policy}": m["seconds"] for policy, m in files.curated.items()},
        **{f"finetune {arm}": m["seconds"] for arm, m in files.models.items()},
        **{_evaluated(files, name): m["seconds"] for name, m in files.evals.items()},
        **files.stages,
    }
    rows = [Row(header=name, cells=[number(round(took, 1))]) for name, took in seconds.items()]
    return Table(caption="Time by stage.", columns=["Stage", "Seconds"], rows=rows)


def _evaluated(files: RunFiles, folder: str) -> str:
    return f"evaluate {folder}" if folder in files.results else folder


def training_table(files: RunFiles) -> Table:
    """Return what each model of each arm was trained on: rows, or pairs."""
    keys = ("rows", "heldout_rows", "left_out", "steps", "tokens")
    rows = [
        Row(
            header=name,
            cells=[
                Cell(text=manifest.get("kind", "sft")),
                *(number(manifest.get(k)) for k in keys),
            ],
        )
        for name, manifest in files.models.items()
    ]
    columns = ["Model", "Kind", "Rows or pairs", "Held out", "Left out", "Steps", "Tokens"]
    return Table(caption="The students, one training seed each.", columns=columns, rows=rows)


def acceptance_table(policy: str, manifest: Json) -> Table:
    """Return how many traces became training data, an arm and label a row."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for part in manifest["acceptance"]:
        count = counts.setdefault((part["arm"], part["label"]), Counter())
        count.update(traces=part["traces"], accepted=part["accepted"])
    rows = [
        Row(
            header=f"{arm}, {label}",
            cells=[
                number(count["traces"]),
                number(count["accepted"]),
                Cell(text=f"{100 * count['accepted'] / count['traces']:.1f} %"),
            ],
        )
        for (arm, label), count in sorted(counts.items())
    ]
    return Table(
        caption=f"Traces accepted under the policy {policy}.",
        columns=["Arm, label", "Traces", "Accepted", "Share"],
        rows=rows,
    )


def drops_table(policy: str, manifest: Json) -> Table:
    """Return how many traces each reason dropped, an arm a column."""
    drops = manifest["drops"]
    totals: Counter[str] = Counter()
    for by_reason in drops.values():
        totals.update(by_reason)
    rows = [
        Row(header=reason, cells=[number(found.get(reason, 0)) for found in drops.values()])
        for reason, _ in totals.most_common()
    ]
    return Table(
        caption=f"Traces dropped under the policy {policy}, by their first reason.",
        columns=["Reason", *drops],
        rows=rows,
    )
