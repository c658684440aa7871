"""`guideweave preview CONFIG`: a few rows from the real teacher, and what would become of them."""

from collections import Counter
from collections.abc import Iterator, Sequence

import click
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from guidelines.plain import one_line, printable
from ray_jobs import stages
from ray_jobs.checks import check_run
from ray_jobs.config import RunConfig
from ray_jobs.console import live_progress, progress_console, results_console
from ray_jobs.exits import finish
from ray_jobs.job import config_argument, dry, naming, set_option, verbose_option
from ray_jobs.logs import logging_to
from synth.config.loading import load_config
from synth.preview import PreviewRow, preview
from synth.synthesize import RunOptions

_LABEL_STYLES = {"harmful": "red", "benign": "green", "borderline": "yellow"}


def show_preview(console: Console, rows: Sequence[PreviewRow], *, redact: bool) -> None:
    """Print every row, then how many would be kept and why the others not.

    Args:
        console: Where to.
        rows: What `preview` made.
        redact: Show the length of texts in place of them.
    """
    for index, row in enumerate(rows, start=1):
        title = f"{index}/{len(rows)}  {_title(row)}"
        body = list(_parts(row, redact))
        if console.is_terminal:
            style = "green" if row.dropped is None else "red"
            console.print(Panel(Group(*body), title=title, title_align="left", border_style=style))
        else:
            console.print(f"--- {title}", *body, sep="\n", markup=False, soft_wrap=True)
            console.print()
    for line in _summary(rows):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _title(row: PreviewRow) -> str:
    trace = row.trace
    step = f"  step {trace['step']}" if trace["step"] else ""
    guided = "  guided" if trace["guideline_ids"] else ""
    return one_line(f"{trace['label']}  {trace['category']}  {trace['recipe']}{step}{guided}")


def _parts(row: PreviewRow, redact: bool) -> Iterator[Text]:
    trace = row.trace
    yield from _part("prompt", trace["prompt"], redact, _LABEL_STYLES.get(trace["label"], ""))
    if trace["reasoning"]:
        yield from _part("reasoning", trace["reasoning"], redact, "italic")
    if trace["answer"]:
        yield from _part("answer", trace["answer"], redact)
    if not trace["answer"] and trace["raw"]:
        yield from _part("raw", trace["raw"], redact, "dim")
    if row.verdicts:
        told = "  ".join(f"{name}: {said}" for name, said in sorted(row.verdicts.items()))
        yield Text(f"measures   {one_line(told)}", style="dim")
    tokens = "uncounted" if trace["output_tokens"] is None else trace["output_tokens"]
    yield Text(
        f"cost       {trace['calls']} calls, {tokens} new tokens, {trace['latency_s']:.1f} s",
        style="dim",
    )
    yield _decision(row)


def _part(name: str, text: str, redact: bool, style: str = "") -> Iterator[Text]:
    yield Text(name.upper(), style="bold")
    shown = f"[{len(text)} characters, not shown]" if redact else printable(text)
    yield Text(shown, style=style)
    yield Text("")


def _decision(row: PreviewRow) -> Text:
    if row.dropped is None:
        return Text("KEPT       nothing speaks against it by itself", style="bold green")
    reason, detail = row.dropped
    why = f"{reason}: {detail}" if detail else str(reason)
    return Text(f"DROPPED    {one_line(why)}", style="bold red")


def _summary(rows: Sequence[PreviewRow]) -> Iterator[str]:
    kept = sum(row.dropped is None for row in rows)
    reasons = Counter(str(row.dropped.reason) for row in rows if row.dropped is not None)
    tokens = sum(row.trace["output_tokens"] or 0 for row in rows)
    longest = max((row.trace["latency_s"] for row in rows), default=0.0)
    yield f"{kept} of {len(rows)} rows would be kept, looked at alone."
    if reasons:
        yield "Dropped: " + ", ".join(f"{why} {count}" for why, count in reasons.most_common())
    yield f"{tokens} new tokens; the slowest row took {longest:.1f} s. The run was not touched."


@click.command()
@config_argument
@set_option
@click.option("--rows", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--redact", is_flag=True, help="Show the length of texts in place of them.")
@click.option("--dry-run", is_flag=True, help="Answer with a script in place of a model.")
@verbose_option
def command(
    file: str, overrides: Sequence[str], rows: int, redact: bool, dry_run: bool, verbose: bool
) -> None:
    """Generate a few rows: prompt, trace, verdicts, and why each would be kept or dropped.

    Nothing is written to the run's own directory. Prompts and answers may be harmful text.
    """
    with naming(file):
        config = load_config(file, overrides, RunConfig)
        config = dry(config) if dry_run else config
        check_run(config, accept_drift="a preview adds no rows")
        shown = progress_console()
        with logging_to(shown, verbose=verbose), live_progress(shown) as tell:
            found = preview(stages.prepare(config), rows, RunOptions(tell=tell))
        show_preview(results_console(), found, redact=redact)


if __name__ == "__main__":
    finish(command)
