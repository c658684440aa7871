"""Diversity selection against a plain one that scores every row anew."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from synth.curate.passes import select_diverse

Rows = list[tuple[str, str, list[str]]]

KINDS = st.tuples(st.sampled_from("xyz"), st.lists(st.sampled_from("abcd"), max_size=4))


@st.composite
def some_rows(draw: st.DrawFn) -> Rows:
    kinds = draw(st.lists(KINDS, max_size=30))
    row_ids = draw(st.permutations(range(len(kinds))))
    return [(f"row-{i:02d}", *kind) for i, kind in zip(row_ids, kinds, strict=True)]


def plainly(rows: Rows, limit: int) -> set[str]:
    left = sorted(rows)
    while len(left) > limit:
        sources = Counter(source for _, source, _ in left)
        frequencies = Counter(name for _, _, names in left for name in set(names))
        scores = [
            sources[source] * sum(frequencies[name] for name in set(names))
            for _, source, names in left
        ]
        del left[scores.index(max(scores))]
    return {row_id for row_id, _, _ in rows} - {row_id for row_id, _, _ in left}


@given(some_rows(), st.integers(0, 32))
def test_it_removes_what_the_plain_version_removes(rows: Rows, limit: int) -> None:
    removed = select_diverse(rows, limit)
    assert removed == plainly(rows, limit)
    assert len(removed) == max(0, len(rows) - limit)


@given(some_rows(), st.integers(0, 32))
def test_the_order_of_the_rows_does_not_matter(rows: Rows, limit: int) -> None:
    assert select_diverse(sorted(rows, reverse=True), limit) == select_diverse(rows, limit)


def test_the_frequent_go_first_and_of_equals_the_smallest_id() -> None:
    rows = [
        ("a", "big", ["fraud"]),
        ("b", "big", ["fraud"]),
        ("c", "big", ["fraud", "theft"]),
        ("d", "small", ["theft"]),
        ("e", "small", ["weapons"]),
    ]
    # c scores 3 * (3 + 2), then a and b 2 * 2, then d and e 2 * 1 and b 1 * 1.
    assert select_diverse(rows, 4) == {"c"}
    assert select_diverse(rows, 3) == {"c", "a"}
    assert select_diverse(rows, 2) == {"c", "a", "d"}


def test_rows_without_a_category_go_last() -> None:
    assert select_diverse([("a", "x", []), ("b", "x", ["fraud"])], 1) == {"b"}
