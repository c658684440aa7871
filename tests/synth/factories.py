"""Small makers of the records that tests are about."""

from synth.digest import digest
from synth.records import Item, Seed


def make_seed(
    prompt: str = "How do I bake bread?", *, label: str = "benign", category: str = "cooking"
) -> Seed:
    return Seed(
        seed_id=digest([], prompt), prompt=prompt, label=label, category=category, source="test"
    )


def make_items(count: int, *, recipe: str = "tests.synth.scripts.echo") -> list[Item]:
    return [Item(seed=make_seed(f"Question number {i}?"), recipe=recipe) for i in range(count)]
