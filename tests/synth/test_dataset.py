"""The front door for Python users."""

from pathlib import Path

from synth import build_dataset, load_config

CONFIG = """
run: {run}
recipe: [refusal, srg]
samples: 1
seeds: {{limit: {{harmful: 3, benign: 3, borderline: 0}}}}
teacher: {{model: scripted}}
limits: {{workers: 0}}
"""


def test_a_dataset_in_two_calls(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG.format(run=tmp_path / "run"))
    dataset = build_dataset(load_config(tmp_path / "run.yaml"))
    assert len(dataset.traces()) == 12
    assert dataset.manifest["arms"] == ["refusal", "srg"]
    accepted = sum(dataset.manifest["accepted"].values())
    assert sum(shard["rows"] for shard in dataset.manifest["shards"]) == accepted


def test_another_policy_generates_nothing_again(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG.format(run=tmp_path / "run"))
    (tmp_path / "lax.yaml").write_text("require_consistency: false\n")
    dataset = build_dataset(load_config(tmp_path / "run.yaml"))
    lax = dataset.curate(str(tmp_path / "lax.yaml"))
    assert lax.traces() == dataset.traces()
    assert sum(lax.manifest["accepted"].values()) > sum(dataset.manifest["accepted"].values())
    assert {p.name for p in (tmp_path / "run" / "curated").iterdir()} == {"default", "lax"}


def test_building_again_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG.format(run=tmp_path / "run"))
    config = load_config(tmp_path / "run.yaml")
    assert build_dataset(config).manifest == build_dataset(config).manifest
