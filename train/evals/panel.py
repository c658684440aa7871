"""The panel: which judges look at the answers, on which model, with which certificate."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput
from synth.judges import find_judge
from synth.judges.base import PREFERENCE, SAFETY, Judge, ModelJudge
from synth.judging import judge_revision
from synth.models.identity import identify
from train.evals.certificate import Certificate, matches, read_certificate
from train.evals.config import EvaluateConfig, JudgeConfig
from train.evals.records import RULES, Scope

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A judge of the panel.

    Attributes:
        judge: The judge.
        model: What it asks; None for rules.
        scopes: The parts of a text it looks at.
        revision: Digest of all that decides its verdicts.
        certificate: How it did on labelled data; None where nobody measured this revision.
    """

    judge: Judge
    model: ModelConfig | None
    scopes: Sequence[Scope]
    revision: str
    certificate: Certificate | None

    @property
    def is_guard(self) -> bool:
        """Whether it says safe or unsafe, ungraded."""
        return is_guard(self.judge)

    @property
    def is_graded(self) -> bool:
        """Whether its value is a score of harmful answers alone."""
        return _is_graded(self.judge)

    @property
    def judges_refusal(self) -> bool:
        """Whether it is a model that says how far an answer refuses."""
        return isinstance(self.judge, ModelJudge) and "refusal" in self.judge.classes

    @property
    def compares(self) -> bool:
        """Whether it prefers one of two answers."""
        return tuple(self.judge.classes) == PREFERENCE

    @property
    def model_id(self) -> str | None:
        """The identity of its model."""
        return None if self.model is None else identify(self.model).model_id


def is_guard(judge: Judge) -> bool:
    """Say whether a judge says safe or unsafe, ungraded."""
    return tuple(judge.classes) == SAFETY and not _is_graded(judge)


def _is_graded(judge: Judge) -> bool:
    return isinstance(judge, ModelJudge) and judge.harmful_only


def seat_panel(config: SynthConfig, section: EvaluateConfig) -> list[Seat]:
    """Return the panel: the refusal rules, then the judges of the config in their order.

    Raises:
        BadInput: A judge is unknown, has no model, or a certificate can not be read.
    """
    certificates = read_certificates(section.certificates)
    panel = [
        _seat(wanted, model, list(certificates.values()))
        for wanted, model in judge_models(config, section)
    ]
    for path, certificate in certificates.items():
        _warn_where_unused(path, certificate, revisions(panel))
    return panel


def judge_models(
    config: SynthConfig, section: EvaluateConfig
) -> list[tuple[JudgeConfig, ModelConfig | None]]:
    """Return the judges in the order of the panel, with the model each of them asks.

    Raises:
        BadInput: A judge is unknown, or has no model.
    """
    wanted = {one.name: one for one in section.judges}
    wanted = {RULES: wanted.pop(RULES, JudgeConfig(name=RULES)), **wanted}
    return [(one, _model(config, one, find_judge(one.name))) for one in wanted.values()]


def read_certificates(paths: Sequence[str]) -> dict[str, Certificate]:
    """Return certificates by their files.

    Raises:
        BadInput: One can not be read, or two are of the same revision of a judge.
    """
    found: dict[str, Certificate] = {}
    for path in paths:
        certificate = read_certificate(path)
        for other, known in found.items():
            if matches(known, certificate.judge, certificate.revision):
                rule = f"must be the one certificate of this revision of its judge, beside {other}"
                value = f"{certificate.judge} {certificate.revision}"
                raise BadInput(file=path, field="evaluate.certificates", value=value, rule=rule)
        found[path] = certificate
    return found


def headline_judge(panel: Sequence[Seat]) -> str:
    """Return the judge whose verdicts make the headline: the first guard, else the rules."""
    return next((seat.judge.name for seat in panel if seat.is_guard), RULES)


def revisions(panel: Sequence[Seat]) -> Mapping[str, str]:
    """Return each judge's revision."""
    return {seat.judge.name: seat.revision for seat in panel}


def _seat(
    wanted: JudgeConfig, model: ModelConfig | None, certificates: Sequence[Certificate]
) -> Seat:
    judge = find_judge(wanted.name)
    revision = judge_revision(judge, model)
    found = [one for one in certificates if matches(one, judge.name, revision)]
    return Seat(
        judge=judge,
        model=model,
        scopes=wanted.scopes,
        revision=revision,
        certificate=found[0] if found else None,
    )


def _warn_where_unused(path: str, certificate: Certificate, known: Mapping[str, str]) -> None:
    """Say why a certificate is of no use to judges of the revisions `known`."""
    judge, revision = certificate.judge, certificate.revision
    if judge not in known:
        log.warning("%s is not used: it is of %s, which does not judge here", path, judge)
    elif known[judge] != revision:
        log.warning(
            "%s is not used: it is of revision %s of %s, and %s judges here",
            *(path, revision, judge, known[judge]),
        )


def _model(config: SynthConfig, wanted: JudgeConfig, judge: Judge) -> ModelConfig | None:
    if not isinstance(judge, ModelJudge):
        return None
    model = wanted.model or getattr(config, judge.role)
    if model is None:
        rule = f"needs a model: give evaluate.judges[].model, or {judge.role}.model"
        raise BadInput(file="config", field="evaluate.judges", value=judge.name, rule=rule)
    return model
