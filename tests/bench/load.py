"""The load that both sides of the saturation bench carry: prompts, sampling, engine."""

import argparse
import json
from dataclasses import dataclass
from itertools import cycle, islice

from synth.config.schema import Limits, ModelConfig, SamplingConfig, SeedsConfig, SynthConfig
from synth.records import Item
from synth.seeds.seeds import load_seeds
from tests.bench.recipes import ONE_CALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of an engine.

    Attributes:
        prompts: Number of prompts: the embedded seeds in turn, again as further samples.
        max_tokens: Bound on new tokens; a reply that ends by itself ends earlier.
        max_num_seqs: Sequences the engine runs at once.
        workers: Recipe workers of `synthesize`.
    """

    prompts: int = 512
    max_tokens: int = 128
    max_num_seqs: int = 64
    workers: int = 1

    def words(self) -> list[str]:
        """Return the command line that `read_load` reads back."""
        return [f"--{name.replace('_', '-')}={getattr(self, name)}" for name in self.__slots__]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one side made of it, loading excluded and the tail included."""

    replies: int
    output_tokens: int
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        """Output tokens a second."""
        return self.output_tokens / self.seconds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `Load`."""
    for name in Load.__slots__:
        default = getattr(Load(), name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)


def read_load(known: argparse.Namespace) -> Load:
    """Return the load that the options describe."""
    return Load(**{name: getattr(known, name) for name in Load.__slots__})


def parse_load() -> Load:
    """Return the load of this process's own command line."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_load(parser.parse_args())


def make_config(load: Load, run: str) -> SynthConfig:
    """Return the configuration of `synthesize`, from which the bare engine takes its part."""
    return SynthConfig(
        run=run,
        recipe=("tests.bench.recipes.ONE_CALL",),
        teacher=ModelConfig(
            model="embedded",
            engine_args={"max_model_len": 1024, "max_num_seqs": load.max_num_seqs},
        ),
        sampling=SamplingConfig(temperature=0.7, max_tokens=load.max_tokens),
        limits=Limits(workers=load.workers),
    )


def make_items(load: Load) -> list[Item]:
    """Return the prompts, in the order in which both sides send them."""
    seeds = load_seeds(SeedsConfig())
    turns = islice(cycle(seeds), load.prompts)
    return [
        Item(seed=seed, recipe=ONE_CALL.name, sample_index=index // len(seeds))
        for index, seed in enumerate(turns)
    ]


def tell(served: Served) -> None:
    """Print the result for the process that compares."""
    fields = {name: getattr(served, name) for name in Served.__slots__}
    print(json.dumps(fields), flush=True)
