"""A finished lease's file: its traces, and a footer that counts them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth import storage
from synth.records import TRACES, Outcome
from synth.workspace.damage import damaged, open_parquet
from synth.workspace.ids import find_rows

FOOTER = b"guideweave"
RETRIABLE = (Outcome.FAILED, Outcome.INTERRUPTED)  # what another try is ever planned for


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseCounts:
    """What a lease file's footer says of its rows.

    Attributes:
        rows: Rows in the file.
        by: Rows by `recipe/label/category/outcome`.
        retried: Rows that are a second or later try.
        output_tokens: Tokens its calls made.
        calls: Calls made.
        usage: The same tokens by role, as `synth.calls.usage.Usage` has them.
        seconds: From its first row's start to its publication.
    """

    rows: int = 0
    by: dict[str, int] = field(default_factory=dict)
    retried: int = 0
    output_tokens: int = 0
    calls: int = 0
    usage: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def outcomes(self) -> Counter[str]:
        """Rows by outcome."""
        outcomes: Counter[str] = Counter()
        for key, rows in self.by.items():
            outcomes[key.rpartition("/")[2]] += rows
        return outcomes


class Summary(NamedTuple):
    """What is kept of a lease's file.

    Attributes:
        counts: Its footer's.
        retriable: `item_id`, `try` and `outcome` of the rows that ended in one of `RETRIABLE`.
    """

    counts: LeaseCounts
    retriable: pa.Table


_NONE = pa.schema([TRACES.field(name) for name in ("item_id", "try", "outcome")]).empty_table()


def traces_folder(folder: str) -> str:
    """Return the folder of the lease files."""
    return storage.join(folder, "traces")


def lease_path(folder: str, name: str) -> str:
    """Return the path of a lease's file."""
    return storage.join(traces_folder(folder), f"{name}.parquet")


def publish_lease(folder: str, name: str, table: pa.Table, counts: LeaseCounts) -> bool:
    """Publish a finished lease, its counts in the footer."""
    footer = json.dumps(asdict(counts))
    sink = pa.BufferOutputStream()
    schema = TRACES.with_metadata({FOOTER: footer.encode()})
    pq.write_table(table.cast(TRACES).cast(schema), sink, compression="zstd")
    return storage.publish(lease_path(folder, name), sink.getvalue().to_pybytes())


def summarize(folder: str, name: str) -> Summary:
    """Read a lease's footer, and of its rows those that another try may be planned for.

    Raises:
        BadInput: The file is damaged.
    """
    with open_parquet(lease_path(folder, name)) as file:
        metadata: Mapping[bytes, bytes] = file.metadata.metadata or {}
        if FOOTER not in metadata:
            raise damaged(lease_path(folder, name), "no lease's file")
        counts = LeaseCounts(**json.loads(metadata[FOOTER]))
        if not any(counts.outcomes[outcome] for outcome in RETRIABLE):
            return Summary(counts, _NONE)
        rows = file.read(_NONE.column_names).replace_schema_metadata(None)
    return Summary(counts, rows.filter(pc.field("outcome").isin(list(map(str, RETRIABLE)))))


def read_lease(folder: str, name: str, columns: Sequence[str]) -> pa.Table:
    """Return columns of a lease's traces.

    Raises:
        BadInput: The file is damaged.
    """
    with open_parquet(lease_path(folder, name)) as file:
        return file.read(list(columns)).replace_schema_metadata(None)


def only_last_tries(table: pa.Table, last: Mapping[str, int]) -> pa.Table:
    """Return the rows of a table with `item_id` and `try` that are their item's last try.

    Args:
        table: The rows.
        last: The last try of the items that have more than one.
    """
    if not last:
        return table
    places = find_rows(table["item_id"], pa.array(last, pa.string()))
    tries = np.fromiter(last.values(), int)[places]
    return table.filter(pa.array((places < 0) | (tries == table["try"].to_numpy())))
