"""How does a run bear many rows? `python -m tests.bench.scale [--rows 10000 100000]`

Runs of 10 k, 100 k and 1 M rows (a hundred samples a seed) through the scripted chat in the
workers' own processes: `rows_per_s` of the largest from its seeds' loading to its last lease, Ray
and planning included; `bytes_per_row` by which the memory of driver and workers (PSS, at most) is
above the smallest run's, for each row more; `resume_s` for a new process to find that the largest
run is finished. Then each is curated. The last line of stdout is one JSON object.

With `--workers 0` recipes and measures run in the driver's process, without Ray.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.memory import run_watched
from tests.bench.scale_sides import words, write_inputs

SIZES = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What was measured at one size.

    Attributes:
        rows: Of the run.
        rows_per_s: Generated.
        pss_bytes: Driver and workers at most, while they generated.
        resume_s: Until a new process has found that nothing is left.
        curated_per_s: Rows that curation looked at a second.
        curate_pss_bytes: Driver and workers at most, while they curated.
        accepted: Rows in the shards.
    """

    rows: int
    rows_per_s: float
    pss_bytes: int
    resume_s: float
    curated_per_s: float
    curate_pss_bytes: int
    accepted: int


def main() -> None:
    """Measure each size, tell it on stderr, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--workers", type=int, default=None)
    known = parser.parse_args()
    sizes = []
    for rows in sorted(known.rows):
        sizes.append(measure(rows, known.workers))
        print(f"{asdict(sizes[-1])}", file=sys.stderr, flush=True)
    print(json.dumps(summarize(sizes) | {"workers": known.workers}))


def measure(rows: int, workers: int | None) -> Size:
    """Make, resume and curate a run of `rows` rows."""
    folder = Path(tempfile.mkdtemp(prefix="guideweave-bench-")) / "scale"
    try:
        write_inputs(rows, folder)
        made, pss = run_watched(words("make", rows, workers, folder))
        resumed, _ = run_watched(words("resume", rows, workers, folder))
        curated, curate_pss = run_watched(words("curate", rows, workers, folder))
    finally:
        shutil.rmtree(folder.parent)
    return Size(
        rows=rows,
        rows_per_s=round(rows / json.loads(made)["seconds"], 1),
        pss_bytes=pss,
        resume_s=round(json.loads(resumed)["seconds"], 2),
        curated_per_s=round(rows / json.loads(curated)["seconds"], 1),
        curate_pss_bytes=curate_pss,
        accepted=json.loads(curated)["accepted"],
    )


def summarize(sizes: list[Size]) -> dict[str, object]:
    """Return what others read: of the largest size, its memory against the smallest's."""
    least, most = sizes[0], sizes[-1]
    more = most.rows - least.rows
    return {
        "rows_per_s": most.rows_per_s,
        "bytes_per_row": round((most.pss_bytes - least.pss_bytes) / more, 1) if more else None,
        "resume_s": most.resume_s,
        "sizes": [asdict(size) for size in sizes],
    }


if __name__ == "__main__":
    main()
