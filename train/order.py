"""The order of rows in an epoch: batches of like length, in random order."""

import random
from collections.abc import Sequence

POOL = 8  # batches that are sorted by length together: more pad less and mix less


def order_rows(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[int]:
    """Return the rows' indices, batch after batch; an incomplete batch is the last.

    A function of its arguments alone, so that a training resumed within an epoch takes each
    remaining row once. Batches are shuffled: the common grouping by length goes from the
    longest rows to the shortest, and length tells much about a row.
    """
    draw = random.Random(f"{seed}/{epoch}")
    rows = draw.sample(range(len(lengths)), len(lengths))
    whole = len(rows) - len(rows) % batch_size
    rows, rest = rows[:whole], rows[whole:]
    batches: list[list[int]] = []
    for start in range(0, whole, POOL * batch_size):
        pool = sorted(rows[start : start + POOL * batch_size], key=lambda row: lengths[row])
        batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
    draw.shuffle(batches)
    return [row for batch in [*batches, rest] for row in batch]
