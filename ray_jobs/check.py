"""`guideweave check CONFIG`: say what can not work, and run nothing."""

from collections.abc import Sequence

import click

from ray_jobs import stages
from ray_jobs.checks import check_run
from ray_jobs.config import RunConfig
from ray_jobs.console import say
from ray_jobs.exits import finish
from ray_jobs.job import config_argument, naming, set_option
from synth.checks.deep import check_deep, within
from synth.config.loading import load_config

SEEDS_S = 600.0  # to read and compare every row


@click.command()
@config_argument
@set_option
@click.option("--deep", is_flag=True, help="Also ask models, servers, storage and your own code.")
@click.option("--cluster", is_flag=True, help="Do not compare with the GPUs of this machine.")
def command(file: str, overrides: Sequence[str], deep: bool, cluster: bool) -> None:
    """Validate a configuration and all that it names; run nothing."""
    with naming(file):
        config = load_config(file, overrides, RunConfig)
        check_run(config, here=not cluster)
        say(f"{file}: configuration, seeds, guidelines, recipes, models, run: fine")
        if deep:
            for found in check_deep(config):
                say(f"{file}: {found}")
            seeds = config.seeds.path
            run = within(SEEDS_S, "seeds.path", seeds, lambda: stages.prepare(config))
            train, held_out = len(run.train), len(run.evaluation)
            say(f"{file}: {train} seeds to train on, {held_out} prompts to evaluate on")


if __name__ == "__main__":
    finish(command)
