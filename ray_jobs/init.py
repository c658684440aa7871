"""`guideweave init DIR`: a starter project."""

from importlib.resources import files
from pathlib import Path

import click

from guidelines import BadInput
from ray_jobs.console import say
from ray_jobs.exits import finish


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Write a configuration, seeds, guidelines and a recipe of your own to start from."""
    for name in write_starter(folder):
        say(folder / name)
    say(f"next: cd {folder} && guideweave preview run.yaml")


def write_starter(folder: Path) -> list[Path]:
    """Write the starter project into `folder`; return its files, relative to it.

    Raises:
        BadInput: One of them is there already, or `folder` can not be written.
    """
    starter = Path(str(files("ray_jobs") / "starter"))
    names = sorted(p.relative_to(starter) for p in starter.rglob("*") if _is_part(p))
    for name in names:
        if (folder / name).exists():
            rule = "is there already and is not written over"
            raise BadInput(file=str(folder / name), field="DIR", value=str(folder), rule=rule)
    try:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((starter / name).read_bytes())
    except OSError as error:
        rule = f"must be writable: {error.strerror}"
        raise BadInput(file=str(folder), field="DIR", value=str(folder), rule=rule) from error
    return names


def _is_part(path: Path) -> bool:
    return path.is_file() and path.suffix in (".yaml", ".jsonl", ".md", ".py")


if __name__ == "__main__":
    finish(command)
