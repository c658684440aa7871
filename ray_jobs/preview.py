"""`guideweave preview CONFIG`: a few rows from the real teacher, and what would become of them."""

from collections.abc import Sequence

import click

from ray_jobs import stages
from ray_jobs.checks import check_run
from ray_jobs.config import RunConfig
from ray_jobs.console import live_progress, progress_console, results_console
from ray_jobs.exits import finish
from ray_jobs.job import config_argument, dry, naming, set_option, verbose_option
from ray_jobs.logs import logging_to
from ray_jobs.show import show_preview
from synth.config.configfile import load_config
from synth.preview import preview
from synth.synthesize import Options


@click.command()
@config_argument
@set_option
@click.option("--rows", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--redact", is_flag=True, help="Show the length of texts in place of them.")
@click.option("--dry-run", is_flag=True, help="Answer with a script in place of a model.")
@verbose_option
def command(
    file: str, overrides: Sequence[str], rows: int, redact: bool, dry_run: bool, verbose: bool
) -> None:
    """Generate a few rows: prompt, trace, verdicts, and why each would be kept or dropped.

    Nothing is written to the run's own directory. Prompts and answers may be harmful text.
    """
    with naming(file):
        config = load_config(file, overrides, RunConfig)
        config = dry(config) if dry_run else config
        check_run(config, accept_drift="a preview adds no rows")
        shown = progress_console()
        with logging_to(shown, verbose=verbose), live_progress(shown) as tell:
            found = preview(stages.prepare(config), rows, Options(tell=tell))
        show_preview(results_console(), found, redact=redact)


if __name__ == "__main__":
    finish(command)
