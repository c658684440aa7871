"""`guideweave schema`: the configuration as a JSON schema, for editors and checks."""

import json

import click

from ray_jobs.config import RunConfig
from ray_jobs.exits import finish


@click.command()
def command() -> None:
    """Print the JSON schema of a configuration."""
    click.echo(json.dumps(RunConfig.model_json_schema(), indent=2))


if __name__ == "__main__":
    finish(command)
