"""What a finished run directory holds: is an item lost, is one there twice?

Reads the files themselves, past every reader of the project.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

COLUMNS = ["item_id", "try", "row_id", "prompt", "outcome", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Attributes:
    planned: Items that were planned.
    rows: Rows of the items' last tries.
    lost: Items whose last planned try has no row, or an interrupted one.
    double: Tries found in two files, rows found twice, and good rows that were tried again.
    outcomes: Rows of the last tries by outcome.
    failed: The prompts of the failed ones.
    poison: How many of these are blamed for an engine's death.
    """

    planned: int
    rows: int
    lost: int
    double: int
    outcomes: dict[str, int]
    failed: tuple[str, ...]
    poison: int

    @property
    def whole(self) -> bool:
        """Whether every item ended once, and well."""
        return not self.lost and not self.double and self.outcomes == {"ok": self.rows}


def count(run: Path) -> Count:
    """Count what is in `run`."""
    planned: dict[str, int] = {}
    for row in read_rows(run / "plan", ["item_id", "try"]):
        planned[row["item_id"]] = max(row["try"], planned.get(row["item_id"], 0))
    files: dict[tuple[str, int], set[str]] = {}
    seen: Counter[tuple[str, int]] = Counter()
    final: list[dict[str, Any]] = []
    tried_again = 0
    for row in read_rows(run / "traces", COLUMNS):
        attempt = (row["item_id"], row["try"])
        files.setdefault(attempt, set()).add(row["file"])
        seen[row["row_id"], row["try"]] += 1
        if planned.get(row["item_id"]) == row["try"]:
            final.append(row)
        else:
            tried_again += row["outcome"] == "ok"
    ended = {row["item_id"] for row in final if row["outcome"] != "interrupted"}
    failed = [row for row in final if row["outcome"] == "failed"]
    return Count(
        planned=len(planned),
        rows=len(final),
        lost=len(planned.keys() - ended),
        double=sum(len(names) > 1 for names in files.values())
        + sum(times > 1 for times in seen.values())
        + tried_again,
        outcomes=dict(Counter(row["outcome"] for row in final)),
        failed=tuple(row["prompt"] for row in failed),
        poison=sum(row["error"].startswith("Poison: ") for row in failed),
    )


def read_rows(folder: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of all parquet files in `folder`, with the name of their file."""
    for path in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(path, columns=columns).to_pylist():
            yield row | {"file": path.name}
