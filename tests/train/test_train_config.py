import subprocess
import sys

import pytest
from pydantic import ValidationError

from synth.config import Resources
from train.config import FinetuneConfig, LoraConfig


def test_a_single_arm_may_be_given_by_its_name() -> None:
    assert FinetuneConfig.model_validate({"arms": "srg"}).arms == ("srg",)


@pytest.mark.parametrize(
    "section",
    [
        {"learning_rat": 1e-4},
        {"match": "rows"},
        {"arms": []},
        {"arms": ["srg", "srg"]},
        {"warmup_ratio": 1},
        {"dtype": "float16"},
        {"lora": {"rank": 8}},
    ],
)
def test_what_is_unknown_or_senseless_is_refused(section: dict) -> None:
    with pytest.raises(ValidationError):
        FinetuneConfig.model_validate(section)


def test_the_identity_is_what_changes_the_model_and_nothing_else() -> None:
    config = FinetuneConfig()
    same = FinetuneConfig(max_failures=0, save_steps=1, resources=Resources(num_gpus=1))
    assert same.identity == config.identity
    for other in (
        FinetuneConfig(seed=1),
        FinetuneConfig(learning_rate=2e-4),
        FinetuneConfig(workers=2),
        FinetuneConfig(method="lora"),
        FinetuneConfig(lora=LoraConfig(r=8)),
    ):
        assert other.identity != config.identity


def test_the_stage_is_light_until_a_training_is_owed() -> None:
    code = (
        "import sys, train, train.config, train.match, train.sft;"
        "print(*({'torch', 'ray', 'trl', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
