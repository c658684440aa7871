"""Prompts and hidden states made up for the tests of the representation analysis."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synth.records import Item, Seed, digest
from train.evals.representation.prompts import BENIGN, HARMFUL, ID, Probe
from train.evals.representation.states import States

WIDTH = 24


class Cloud(NamedTuple):
    """Twins of one family: harmful ones around `harmful`, benign ones around `benign`.

    Attributes:
        family: Its name.
        harmful: Centre of the harmful prompts, first coordinates first.
        benign: Centre of the benign ones.
        twins: How many of each.
    """

    family: str
    harmful: tuple[float, ...]
    benign: tuple[float, ...]
    twins: int = 40


SEPARATE = Cloud(ID, (4.0,), (0.0,))


def make_probe(family: str, label: str, number: int) -> Probe:
    """Return a prompt; those of all families but `ID` are made of the same seeds."""
    cluster = f"{'train' if family == ID else 'eval'}-{number}"
    turn = {"role": "user", "content": f"A {label} question of {family}, number {number}."}
    return Probe(
        probe_id=f"{family}-{label}-{number}",
        family=family,
        attack=family,
        label=label,
        cluster=cluster,
        messages=(turn,),  # type: ignore[arg-type]
    )


def make_clouds(
    *clouds: Cloud, width: int = WIDTH, seed: int = 0
) -> tuple[list[Probe], NDArray[np.float64]]:
    """Return prompts and their states, each with unit noise in every direction."""
    probes, rows = [], []
    for index, cloud in enumerate(clouds):
        noise = np.random.default_rng([seed, index])  # a cloud's points are its own
        for number in range(cloud.twins):
            for label, centre in ((HARMFUL, cloud.harmful), (BENIGN, cloud.benign)):
                probes.append(make_probe(cloud.family, label, number))
                rows.append(noise.normal(size=width) + _padded(centre, width))
    return probes, np.array(rows)


def make_items(seeds: Sequence[Seed], attack: str, family: str, samples: int = 2) -> list[Item]:
    """Return the evaluation's items of `seeds` under one attack."""
    return [
        Item(
            seed=seed,
            recipe="evaluate",
            sample_index=sample,
            payload={
                "suite": "seeds",
                "family": family,
                "transform": attack,
                "version": 1,
                "untransformed": seed.prompt,
                "origin": seed.seed_id,
            },
        )
        for seed in seeds
        for sample in range(samples)
    ]


def make_seeds(prefix: str, twins: int) -> list[Seed]:
    """Return twins and, for each, a borderline prompt."""
    return [
        Seed(
            seed_id=f"{prefix}-{label}-{number}",
            prompt=f"{prefix}: a {label} question, number {number}?",
            label=label,
            category=f"subject {number % 3}",
            source="test",
            pair=None if label == "borderline" else f"{prefix}-{number}",
        )
        for number in range(twins)
        for label in (HARMFUL, BENIGN, "borderline")
    ]


def made_up_states(probes: Sequence[Probe], layers: Sequence[int] = (1, 2)) -> States:
    """Return what a model might have read: harmful prompts lie apart, further in each layer."""
    values = np.stack([[_state(probe, layer) for layer in layers] for probe in probes])
    ids = [probe.probe_id for probe in probes]
    return States(probe_ids=ids, layers=list(layers), values=values, left_out={})


def _state(probe: Probe, layer: int) -> NDArray[np.float32]:
    own = np.random.default_rng(int(digest(probe.probe_id, layer), 16))
    state = own.normal(size=WIDTH).astype(np.float32)
    state[0] += 3 * layer * probe.harmful
    return state


def _padded(centre: tuple[float, ...], width: int) -> NDArray[np.float64]:
    return np.array([*centre, *[0.0] * (width - len(centre))])
