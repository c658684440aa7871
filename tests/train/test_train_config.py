import subprocess
import sys

import pytest
from pydantic import ValidationError

from synth.config.schema import Resources
from train.config import DpoConfig, FinetuneConfig, LoraConfig, RewardConfig, TrainKind


def test_a_single_arm_may_be_given_by_its_name() -> None:
    assert FinetuneConfig.model_validate({"arms": "srg"}).arms == ("srg",)


@pytest.mark.parametrize(
    "section",
    [
        {"learning_rat": 1e-4},
        {"match": "all"},
        {"arms": []},
        {"arms": ["srg", "srg"]},
        {"warmup_ratio": 1},
        {"dtype": "float16"},
        {"lora": {"rank": 8}},
        {"dpo": {"beta": 0}},
        {"dpo": {"loss": "ipo"}},
        {"reward": {"centre_coefficient": -1}},
    ],
)
def test_what_is_unknown_or_senseless_is_refused(section: dict) -> None:
    with pytest.raises(ValidationError):
        FinetuneConfig.model_validate(section)


def test_the_identity_is_what_changes_the_model_and_nothing_else() -> None:
    config = FinetuneConfig()
    same = FinetuneConfig(max_failures=0, save_steps=1, resources=Resources(num_gpus=1))
    assert same.identity_of("sft") == config.identity_of("sft")
    for other in (
        FinetuneConfig(seed=1),
        FinetuneConfig(learning_rate=2e-4),
        FinetuneConfig(workers=2),
        FinetuneConfig(method="lora"),
        FinetuneConfig(lora=LoraConfig(r=8)),
    ):
        assert other.identity_of("sft") != config.identity_of("sft")


def test_a_kind_of_training_does_not_depend_on_the_values_of_others() -> None:
    config = FinetuneConfig()
    changes = (
        (FinetuneConfig(dpo=DpoConfig(beta=0.2)), {"dpo"}),
        (FinetuneConfig(reward=RewardConfig(epochs=2)), {"reward"}),
        (FinetuneConfig(learning_rate=1e-3, epochs=9), {"sft"}),
        (FinetuneConfig(match="rows"), {"sft", "dpo", "reward"}),
        (FinetuneConfig(batch_size=9), {"sft", "dpo", "reward"}),
        (FinetuneConfig(arms=("srg",)), set()),
    )
    kinds: tuple[TrainKind, ...] = ("sft", "dpo", "reward")
    for other, changed in changes:
        assert {k for k in kinds if other.identity_of(k) != config.identity_of(k)} == changed


def test_the_stage_is_light_until_a_training_is_owed() -> None:
    code = (
        "import sys, train, train.config, train.data, train.students;"
        "print(*({'torch', 'ray', 'trl', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
