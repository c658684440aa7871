"""The panel: certificates find their judges, and the first suite is what is compared on."""

from pathlib import Path

import pytest

from guidelines import BadInput
from synth.batch import judge_revision
from synth.config.schema import SynthConfig
from synth.judges import JUDGES
from tests.train.evals.test_certify import certified
from train.evals.certify import write_certificate
from train.evals.config import EvaluateConfig
from train.evals.judge import seat_panel
from train.evals.records import RULES

REVISION = judge_revision(JUDGES[RULES])


def certificate(folder: Path, name: str, judge: str = RULES, revision: str = REVISION) -> str:
    made = certified(folder, [("unsafe", "unsafe"), ("safe", "safe")])
    path = str(folder / name)
    write_certificate(path, made.model_copy(update={"judge": judge, "revision": revision}))
    return path


def panel_of(*certificates: str) -> list[bool]:
    """Seat the rules alone; say of each judge whether it has a certificate."""
    section = EvaluateConfig(certificates=certificates)
    panel = seat_panel(SynthConfig(run="none"), section)
    return [seat.certificate is not None for seat in panel]


def test_two_certificates_of_one_revision_are_refused(tmp_path: Path) -> None:
    first, second = certificate(tmp_path, "first"), certificate(tmp_path, "second")
    with pytest.raises(BadInput) as refused:
        panel_of(first, second)
    assert refused.value.file == second
    assert first in refused.value.rule


def test_a_certificate_of_no_use_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    used = certificate(tmp_path, "used")
    older = certificate(tmp_path, "older", revision="r0")
    other = certificate(tmp_path, "other", judge="wildguard")
    assert panel_of(older, used, other) == [True]
    assert caplog.messages == [
        f"{older} is not used: it is of revision r0 of {RULES}, and {REVISION} judges here",
        f"{other} is not used: it is of wildguard, which does not judge here",
    ]


def test_a_comparison_is_on_the_first_suite_where_it_names_none() -> None:
    suite = {"name": "mine", "path": "mine.csv"}
    text = "discrimination on rot13: srg vs base"
    given = {"suites": [suite, "seeds"], "primary": text}
    primary = EvaluateConfig.model_validate(given).primary
    assert primary is not None
    assert primary.suite == "mine"
    seeds = EvaluateConfig.model_validate({"primary": text}).primary
    assert seeds is not None
    assert seeds.suite == "seeds"
