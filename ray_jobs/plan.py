"""`guideweave plan CONFIG`: what the run will take, before it runs."""

from collections.abc import Iterator, Sequence

import click

from ray_jobs import stages
from ray_jobs.checks import check_run
from ray_jobs.config import RunConfig
from ray_jobs.console import say
from ray_jobs.exits import finish
from ray_jobs.job import config_argument, naming, set_option
from synth.config.loading import load_config
from synth.dataset import counting_of
from synth.estimate import CostEstimate, estimate_cost
from train.evals.ask import expected_items, searched_names
from train.evals.attacks import PLAIN
from train.evals.config import BASE
from train.evals.stats import WORTH_FINDING, required_prompts


@click.command()
@config_argument
@set_option
@click.option(
    "--tok-s",
    type=click.FloatRange(min=0, min_open=True),
    help="Output tokens a second of one replica, for the hours.",
)
def command(file: str, overrides: Sequence[str], tok_s: float | None) -> None:
    """Say how many rows, leases and tokens are owed, and the GPU-hours at a given speed."""
    with naming(file):
        config = load_config(file, overrides, RunConfig)
        check_run(config, here=False)
        for table, one in (config.tables or {"": config}).items():
            run = stages.prepare(one)
            found = estimate_cost(run, counting_of(run))
            for line in (*_synthesis(one, found, tok_s), *_evaluation(one)):
                say(f"{table}: {line}" if table else line)


def _synthesis(config: RunConfig, found: CostEstimate, tok_s: float | None) -> Iterator[str]:
    yield f"rows owed: {found.rows:,} in {found.leases:,} leases"
    if found.budget is not None:
        yield f"rows in all, at most: {found.budget:,} (accepted.budget)"
    if config.tokens is not None:
        yield f"more samples follow until each recipe has made {config.tokens:,} tokens"
    if found.has_later_steps:
        yield "later steps add rows as their traces come in"
    yield f"new tokens, every row at sampling.max_tokens: {found.full_tokens:,}"
    if found.expected_tokens is not None:
        yield f"new tokens, at the mean of the rows made so far: {found.expected_tokens:,}"
    if found.expected_cost is not None:
        yield f"cost, at the mean of the rows made so far: {found.expected_cost:,.2f}"
    if tok_s is not None:
        hours, gpus = found.engine_hours(tok_s), config.teacher.resources.num_gpus
        yield f"engine-hours at {tok_s:g} tok/s a replica: {hours:,.2f}"
        yield f"GPU-hours: {hours * gpus:,.2f} ({gpus:g} GPUs a replica)"


def _evaluation(config: RunConfig) -> Iterator[str]:
    if config.evaluate is None:
        return
    students = [name for own in stages.students_of(config).values() for name in own]
    alone = config.evaluate.models or (BASE, *students)
    models = [*alone, *searched_names(config.evaluate.search, alone)]
    items = expected_items(config, config.evaluate)
    plain = {
        item.payload["origin"]
        for item in items
        if item.payload["transform"] == PLAIN and item.seed.label == "harmful"
    }
    yield f"evaluation: {len(items):,} answers of each of {len(models)} models"
    yield (
        f"harmful prompts without an attack: {len(plain):,}; two models that differ on one prompt "
        f"in five are told apart by {WORTH_FINDING * 100:.0f} points with {required_prompts(0.2):,}"
    )


if __name__ == "__main__":
    finish(command)
