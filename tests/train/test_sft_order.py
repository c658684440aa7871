from hypothesis import given
from hypothesis import strategies as st

from train.encode import POOL, order_rows

lengths = st.lists(st.integers(1, 500), max_size=200)
batch_sizes = st.integers(1, 9)
seeds = st.integers(0, 5)


@given(lengths, batch_sizes, seeds, seeds)
def test_every_row_is_taken_once(found: list[int], size: int, seed: int, epoch: int) -> None:
    order = order_rows(found, size, seed, epoch)
    assert sorted(order) == list(range(len(found)))
    assert order == order_rows(found, size, seed, epoch)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    found = list(range(100, 164))
    orders = {tuple(order_rows(found, 4, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


@given(st.permutations(range(8 * POOL)), seeds)
def test_batches_hold_rows_of_like_length(found: list[int], seed: int) -> None:
    order = order_rows(found, 8, seed, 0)
    batches = [[found[row] for row in order[at : at + 8]] for at in range(0, len(order), 8)]
    assert all(max(batch) - min(batch) == 7 for batch in batches)


def test_batches_do_not_go_from_the_longest_to_the_shortest() -> None:
    found = list(range(64))
    order = order_rows(found, 4, 0, 0)
    assert order not in (sorted(order), sorted(order, reverse=True))
    firsts = [order[at] // 4 for at in range(0, 64, 4)]
    assert firsts not in (sorted(firsts), sorted(firsts, reverse=True))
