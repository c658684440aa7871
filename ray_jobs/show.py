"""How previewed rows look: panels on a terminal, the same parts as plain text in a file."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from guidelines.plain import one_line, printable
from synth.preview import PreviewRow

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
