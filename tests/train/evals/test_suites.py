import json
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from guidelines import BadInput
from synth.config.schema import SeedsConfig, SynthConfig
from synth.records import Item, Seed, digest
from synth.seeds.seeds import load_seeds, split_seeds
from tests.train.evaluations import make_configs, run_with, seeds_file, usual_replies
from train.evals.ask import plan_questions
from train.evals.attacks import TRANSFORMS, wording
from train.evals.config import Comparison, EvaluateConfig
from train.evals.suites import (
    ask_prompts,
    check_lineage,
    eval_items,
    families_seen,
    load_suites,
    training_seed_ids,
)


def plan_items(config: SynthConfig, evaluate: EvaluateConfig) -> list[Item]:
    return eval_items(load_suites(config, evaluate), evaluate)


def test_every_attack_is_applied_to_harmful_prompts_and_their_twins_alike(tmp_path: Path) -> None:
    config, evaluate = make_configs(tmp_path, attacks=["rot13", "past_tense"])
    items = plan_items(config, evaluate)
    for attack in ("rot13", "past_tense"):
        pairs = {
            label: {
                item.seed.pair
                for item in items
                if item.payload["transform"] == attack and item.seed.label == label
            }
            for label in ("harmful", "benign", "borderline")
        }
        assert pairs["harmful"] == pairs["benign"] != set()
        assert pairs["borderline"] == set()


def test_limits_hold_for_plain_prompts_and_for_each_attack(tmp_path: Path) -> None:
    config, evaluate = make_configs(
        tmp_path,
        attacks=["rot13"],
        limit={"harmful": 3, "benign": 3, "borderline": 1},
        attack_limit={"harmful": 2, "benign": 2, "borderline": 0},
    )
    items = plan_items(config, evaluate)
    found = Counter((item.payload["transform"], item.seed.label) for item in items)
    assert found == {
        ("plain", "harmful"): 3 * 2,
        ("plain", "benign"): 3 * 2,
        ("plain", "borderline"): 1 * 2,
        ("rot13", "harmful"): 2 * 2,
        ("rot13", "benign"): 2 * 2,
    }


def test_an_attacked_prompt_is_its_own_seed_and_remembers_where_it_came_from(
    tmp_path: Path,
) -> None:
    config, evaluate = make_configs(tmp_path, attacks=["rot13"])
    items = plan_items(config, evaluate)
    plain = {i.payload["origin"]: i for i in items if i.payload["transform"] == "plain"}
    for item in items:
        origin = plain[item.payload["origin"]].seed
        assert item.payload["untransformed"] == origin.prompt
        assert item.seed.seed_id == digest(item.seed.messages)
        assert (item.seed.label, item.seed.pair) == (origin.label, origin.pair)
        assert (item.seed == origin) == (item.payload["family"] == "plain")


def test_items_are_distinct_and_the_same_every_time(tmp_path: Path) -> None:
    config, evaluate = make_configs(tmp_path)
    ids = [item.item_id for item in plan_items(config, evaluate)]
    assert len(set(ids)) == len(ids)
    assert ids == [item.item_id for item in plan_items(config, evaluate)]


def test_no_evaluation_prompt_was_trained_on(tmp_path: Path) -> None:
    config, evaluate = make_configs(tmp_path)
    trained = training_seed_ids(config)
    assert trained
    assert not trained & {item.payload["origin"] for item in plan_items(config, evaluate)}


def test_a_suite_that_holds_training_prompts_is_refused_with_their_ids(tmp_path: Path) -> None:
    suite = {"name": "mine", "path": seeds_file(tmp_path)}
    config, evaluate = make_configs(tmp_path, suites=["seeds", suite])
    suites = load_suites(config, evaluate)
    with pytest.raises(BadInput, match="training prompts") as refused:
        check_lineage(suites, eval_items(suites, evaluate), training_seed_ids(config))
    assert refused.value.value == "mine"
    assert any(seed_id in refused.value.rule for seed_id in training_seed_ids(config))


def test_training_on_an_attacked_prompt_is_found_too(tmp_path: Path) -> None:
    config, evaluate = make_configs(tmp_path, attacks=["rot13"])
    suites = load_suites(config, evaluate)
    items = eval_items(suites, evaluate)
    attacked = next(item for item in items if item.payload["transform"] == "rot13")
    with pytest.raises(BadInput, match=attacked.seed.seed_id):
        check_lineage(suites, items, {attacked.seed.seed_id})


NOISE = [name for name, transform in TRANSFORMS.items() if transform.family == "noise"]


def train_on(config: SynthConfig, *attacks: str) -> None:
    """Put training prompts through attacks, into the seeds file beside themselves."""
    plain = split_seeds(load_seeds(config.seeds), config.seeds.eval_share).train[:20]
    texts = [TRANSFORMS[attack].apply(seed.prompt) for attack in attacks for seed in plain]
    rows = [{"prompt": text, "label": "benign", "pair": None} for text in texts if text]
    with Path(config.seeds.path).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("attack", TRANSFORMS)
def test_an_attack_of_a_family_that_training_saw_is_refused(tmp_path: Path, attack: str) -> None:
    config, evaluate = make_configs(tmp_path, attacks=[attack])
    load_suites(config, evaluate)
    train_on(config, attack)
    with pytest.raises(BadInput, match=f"training saw .{TRANSFORMS[attack].family}") as refused:
        load_suites(config, evaluate)
    assert refused.value.field == "evaluate.attacks"
    seed_ids = {seed.seed_id for seed in load_seeds(config.seeds)}
    assert any(seed_id in refused.value.rule for seed_id in seed_ids)


@pytest.mark.parametrize("attack", [name for name in TRANSFORMS if name not in NOISE])
def test_an_attack_is_known_by_its_wording_alone(attack: str) -> None:
    prompt = TRANSFORMS[attack].apply("Is bread good for a duck?")
    assert prompt is not None
    seed = Seed(seed_id="s", prompt=prompt, label="benign", category="birds", source="test")
    family = TRANSFORMS[attack].family
    assert families_seen([seed], {family}) == {family: "s"}
    assert len("".join(wording(TRANSFORMS[attack]))) > 40, "or plain prompts may hold it"


def test_noise_has_no_wording() -> None:
    assert {wording(TRANSFORMS[attack]) for attack in NOISE} == {("", "")}


def test_other_families_may_still_be_asked(tmp_path: Path) -> None:
    ready = {"attack": "past_ready", "family": "cipher", "rewrites": "absent.csv"}
    attacks = ["story", ready]
    config, evaluate = make_configs(tmp_path, attacks=attacks[:1])
    train_on(config, "rot13", "typos")
    assert load_suites(config, evaluate)
    config, evaluate = make_configs(tmp_path, attacks=attacks)
    train_on(config, "rot13")
    with pytest.raises(BadInput, match="cipher"):
        load_suites(config, evaluate)


def test_the_embedded_seeds_went_through_no_attack() -> None:
    families = {transform.family for transform in TRANSFORMS.values()}
    assert families_seen(load_seeds(SeedsConfig()), families) == {}


def test_an_evaluation_of_nothing_is_refused(tmp_path: Path) -> None:
    none = {"harmful": 0, "benign": 0, "borderline": 0}
    config, evaluate = make_configs(tmp_path, limit=none, attacks=[])
    with pytest.raises(BadInput, match="leaves no prompt"):
        plan_questions(config, evaluate, run_with(usual_replies))


def test_what_an_attack_can_not_express_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text(
        "prompt,label\nHow do I bake?,benign\n\u4f60\u597d,benign\nWhat is #?,harmful\n"
    )
    suite = {"name": "mixed", "path": str(path)}
    config, evaluate = make_configs(tmp_path, suites=[suite], attacks=["morse", "base64"])
    asked = ask_prompts(load_suites(config, evaluate), evaluate, {})
    assert asked.inexpressible == {"mixed/morse": 2}
    found = Counter(item.payload["transform"] for item in asked.items)
    assert found == {"plain": 3 * 2, "morse": 1 * 2, "base64": 3 * 2}


def test_an_attack_that_can_express_no_prompt_of_a_suite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "greetings.csv"
    path.write_text("prompt,label\n\u4f60\u597d,benign\n")
    suite = {"name": "greetings", "path": str(path)}
    config, evaluate = make_configs(tmp_path, suites=[suite], attacks=["morse"])
    with pytest.raises(BadInput, match="none of the 1 prompts of greetings") as refused:
        ask_prompts(load_suites(config, evaluate), evaluate, {})
    assert (refused.value.file, refused.value.value) == (str(path), "morse")


def test_a_section_reads_back_from_what_it_is_written_as(tmp_path: Path) -> None:
    attacks = [
        "rot13",
        {"attack": "persuasion", "taxonomy": "t.jsonl", "techniques": ["One"]},
        {"attack": "translation", "language": "Zulu", "name": "zulu"},
        {"attack": "mine", "rewrites": "r.csv", "family": "tense", "columns": {"prompt": "goal"}},
    ]
    section = EvaluateConfig.model_validate({"attacks": attacks})
    assert EvaluateConfig.model_validate(section.model_dump(mode="json")) == section
    assert section.attack_names == ("rot13", "persuasion", "zulu", "mine")
    assert [attack.kind for attack in section.attacks] == [
        "cipher",
        "persuasion",
        "translation",
        "tense",
    ]


def test_a_comparison_can_be_written_as_a_sentence() -> None:
    short = EvaluateConfig(primary="discrimination: srg vs base").primary
    assert short == Comparison(metric="discrimination", model="srg", baseline="base", suite="seeds")
    attacked = EvaluateConfig(primary="asr_rule on rot13: srg vs refusal").primary
    assert attacked == Comparison(
        metric="asr_rule", model="srg", baseline="refusal", attack="rot13", suite="seeds"
    )


@pytest.mark.parametrize(
    "section",
    [
        {"attacks": ["rot14"]},
        {"attacks": ["rot13", "rot13"]},
        {"attacks": [{"attack": "rot13", "name": "spun"}]},
        {"attacks": [{"attack": "rot13", "language": "Zulu"}]},
        {"attacks": ["persuasion"]},
        {"attacks": [{"attack": "persuasion", "taxonomy": "t.jsonl", "language": "Zulu"}]},
        {"attacks": ["translation"]},
        {"attacks": [{"attack": "translation", "language": "Zulu", "name": "rot13"}]},
        {"attacks": [{"attack": "mine", "rewrites": "r.csv"}]},
        {"attacks": [{"attack": "mine", "rewrites": "r.csv", "family": "plain"}]},
        {"attacks": [{"attack": "rot13", "rewrites": "r.csv", "family": "cipher"}]},
        {
            "attacks": [
                {"attack": "mine", "rewrites": "r.csv", "family": "tense", "columns": {"a": "b"}}
            ]
        },
        {"suites": ["advbench"]},
        {"suites": [{"name": "a", "path": "a.csv", "format": "advbench2"}]},
        {"suites": [{"name": "a", "path": "a.csv", "format": "advbench", "benign": "b.csv"}]},
        {
            "suites": [
                {"name": "a", "path": "a.csv", "format": "advbench", "columns": {"prompt": "goal"}}
            ]
        },
        {"primary": "srg is better"},
        {"primary": "beauty: srg vs base"},
        {"samples": 0},
        {"sample": 4},
    ],
)
def test_an_unusable_section_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EvaluateConfig.model_validate(section)
