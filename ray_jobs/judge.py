"""`guideweave judge certify`: how often a judge agrees with people, on answers they labelled."""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import click

from ray_jobs.config import RunConfig
from ray_jobs.console import live_progress, progress_console, say
from ray_jobs.exits import finish
from ray_jobs.job import logs_kept, naming
from ray_jobs.logs import logging_to
from synth import storage
from synth.batch import asking_revision, judge_exchanges, judge_revision, run_batch
from synth.checks.static import ROLES, check_model, check_run_folder, check_secrets
from synth.config.loading import load_config
from synth.config.schema import ModelConfig
from synth.drive.holder import hold
from synth.errors import BadInput
from synth.judges import find_judge
from synth.judges.base import PREFERENCE, Exchange, Judge, ModelJudge, Verdict
from synth.judges.rubrics import agree, swap
from synth.models.identity import identify
from synth.synthesize import RunOptions
from synth.workspace.workspace import Workspace, batch_workspace
from train.evals.certify import (
    Certificate,
    LabelsFile,
    certify,
    digest_of,
    read_labelled,
    write_certificate,
)

_COMMAND = "judge certify"


@click.group()
def command() -> None:
    """Certify a judge."""


@command.command("certify")
@click.option("--judge", "name", required=True, metavar="NAME", help="Such as refusal_rules.")
@click.option("--labels", required=True, metavar="FILE", help="CSV, TSV, JSONL or parquet, or URI.")
@click.option("--text", required=True, metavar="COLUMN", help="What the judge looks at.")
@click.option("--label", required=True, metavar="COLUMN", help="What people say of it.")
@click.option("--prompt", metavar="COLUMN", help="The request the text answers.")
@click.option("--rival", metavar="COLUMN", help="A second answer, for judges that compare.")
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="VALUE=CLASS",
    help="The judge's class that a label means, such as 1=refusal.",
)
@click.option(
    "--config", "file", metavar="CONFIG", help="Names the model, for judges that ask one."
)
@click.option("--out", required=True, metavar="FILE", help="Where the certificate goes.")
def certify_command(
    name: str,
    labels: str,
    text: str,
    label: str,
    prompt: str | None,
    rival: str | None,
    mapped: Sequence[str],
    file: str | None,
    out: str,
) -> None:
    """Write a judge's certificate: how its verdicts compare with people's labels.

    Labels that are no class of the judge are mapped to one; a label that is not is bad input.
    """
    judge = find_judge(name)
    source = LabelsFile(
        path=labels,
        text=text,
        label=label,
        prompt=prompt,
        rival=rival,
        classes=dict(_classes(judge, mapped)),
    )
    _check(judge, source, out)
    with naming(file or _COMMAND):
        config = None if file is None else _loaded(file)
        found = _certificate(judge, source, config)
    write_certificate(out, found)
    _tell(found, out)


def _classes(judge: Judge, mapped: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the labels that `--map` speaks of, each with its class."""
    known: dict[str, str] = {}
    for text in mapped:
        value, equals, name = text.rpartition("=")
        value = value.strip()
        if not equals or name not in judge.classes:
            rule = f"must be VALUE=CLASS, with a class of the judge: {', '.join(judge.classes)}"
            raise _bad("--map", text, rule)
        if known.setdefault(value, name) != name:
            raise _bad("--map", text, f"must map each value once, and {value} is {known[value]}")
        yield value, name


def _check(judge: Judge, source: LabelsFile, out: str) -> None:
    """Check what would else be found out after the judge has been asked.

    Raises:
        BadInput: The judge compares and has nothing to compare with, or the certificate would
            replace a folder or the labels.
    """
    if (source.rival is None) == _compares(judge):
        takes = "two answers" if _compares(judge) else "one answer"
        raise _bad("--rival", source.rival, f"judge {judge.name} looks at {takes}")
    if storage.is_remote(out):
        return
    if Path(out).is_dir() or not Path(out).name:
        raise _bad("--out", out, "must be a file, not a folder")
    if "://" not in source.path and Path(out).resolve() == Path(source.path).resolve():
        raise _bad("--out", out, "must not be the labels file")


def _loaded(file: str) -> RunConfig:
    config = load_config(file, (), RunConfig)
    storage.use(config.storage)
    check_run_folder(config.run)
    return config


def _certificate(judge: Judge, source: LabelsFile, config: RunConfig | None) -> Certificate:
    labelled = read_labelled(source, judge.classes)
    exchanges = [one.exchange for one in labelled]
    if not isinstance(judge, ModelJudge):
        verdicts = [judge.judge(exchange) for exchange in exchanges]
        return certify(judge, judge_revision(judge), None, source, labelled, verdicts)
    if config is None:
        rule = f"judge {judge.name} asks a model: give the configuration that names it"
        raise _bad("--config", None, rule)
    model = _model(judge, config)
    revision = judge_revision(judge, model)
    name = f"certify-{judge.question}-{digest_of(source.path)[:12]}"
    workspace = batch_workspace(config.run, name, asking_revision(judge, model))
    verdicts = _ask(judge, model, config, workspace, exchanges)
    return certify(judge, revision, identify(model).model_id, source, labelled, verdicts)


def _model(judge: ModelJudge, config: RunConfig) -> ModelConfig:
    """Return what the judge asks, as an evaluation of the same configuration finds it."""
    panel = config.evaluate.judges if config.evaluate is not None else ()
    own = next((one.model for one in panel if one.name == judge.name), None)
    model = own or getattr(config, judge.role)
    if model is None:
        rule = f"judge {judge.name} needs it: give {judge.role}.model or {judge.role}.endpoint"
        raise BadInput(file="config", field=judge.role, value=None, rule=rule)
    check_model(judge.role, model)
    check_secrets(config.model_copy(update={**dict.fromkeys(ROLES), judge.role: model}))
    return model


def _ask(
    judge: ModelJudge,
    model: ModelConfig,
    config: RunConfig,
    workspace: str,
    exchanges: Sequence[Exchange],
) -> list[Verdict]:
    """Ask a model judge through the scheduler; one that compares is asked in both orders."""
    asked = [*exchanges, *map(swap, exchanges)] if _compares(judge) else list(exchanges)
    shown = progress_console()
    with (
        logs_kept(config.run),
        logging_to(shown, run=storage.local_folder(config.run)),
        live_progress(shown) as tell,
        hold(config.run, f"certify {judge.name}"),
    ):
        run = partial(run_batch, config, RunOptions(tell=tell), opened=cache(Workspace))
        said = judge_exchanges(run, workspace, judge, model, asked, f"certify {judge.name}")
    if not _compares(judge):
        return said
    both = zip(said[: len(exchanges)], said[len(exchanges) :], strict=True)
    return [agree(first, swapped) for first, swapped in both]


def _compares(judge: Judge) -> bool:
    return tuple(judge.classes) == PREFERENCE


def _tell(found: Certificate, out: str) -> None:
    numbers = {"accuracy": found.accuracy, "kappa": found.kappa}
    shown = [f"{name} {'-' if x is None else format(x, '.3f')}" for name, x in numbers.items()]
    say(
        f"{out}: {found.judge} {found.revision}: {', '.join(shown)} over {found.determined} of "
        f"{found.n} answers, {found.undetermined} undetermined"
    )


def _bad(option: str, value: str | None, rule: str) -> BadInput:
    return BadInput(file=_COMMAND, field=option, value=value, rule=rule)


if __name__ == "__main__":
    finish(command)
