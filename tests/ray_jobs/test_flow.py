"""The commands on a scripted teacher: what they make, say, and leave alone when run again."""

import json
from pathlib import Path

import pytest
import yaml

from tests.ray_jobs.conftest import Cli

CONFIG = """
run: run
recipe: [refusal, srg]
samples: 1
seeds: {limit: {harmful: 4, benign: 4, borderline: 2}}
teacher: {model: scripted}
limits: {workers: 0}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if "logs" not in p.parts}


def test_a_run_and_the_same_run_again(cli: Cli, tmp_path: Path, config: Path) -> None:
    first = cli("run", config)
    assert first.code == 0, first.err
    assert "Accepted under the policy default" in first.out
    assert "report: run/report.html" in first.out
    made = snapshot(tmp_path / "run")
    again = cli("run", config)
    assert again.code == 0
    assert "synthesize: complete, nothing to do" in again.err
    assert "curate: complete, nothing to do" in again.err
    assert snapshot(tmp_path / "run") == made
    assert "checked: " in (tmp_path / "run" / "logs" / "driver.log").read_text()


def test_one_stage_after_the_other_makes_what_run_makes(
    cli: Cli, tmp_path: Path, config: Path
) -> None:
    for verb in ("synthesize", "curate", "report"):
        assert cli(verb, config).code == 0
    made = snapshot(tmp_path / "run")
    assert cli("run", config).code == 0
    assert snapshot(tmp_path / "run") == made


def test_a_changed_threshold_curates_again_and_generates_nothing(
    cli: Cli, tmp_path: Path, config: Path
) -> None:
    assert cli("run", config).code == 0
    before = snapshot(tmp_path / "run")
    (tmp_path / "strict.yaml").write_text("min_answer_words: 12\n")
    policy = tmp_path / "default.yaml"
    policy.write_text("min_answer_words: 12\n")
    again = cli("run", config, "--set", f"curate.policy={policy}")
    assert again.code == 0
    assert "curate: runs again, changed: policy" in again.err
    after = snapshot(tmp_path / "run")
    traces = {name for name in before if name.startswith(("traces/", "plan/"))}
    assert traces
    assert {name: after[name] for name in traces} == {name: before[name] for name in traces}
    manifest = json.loads(after["curated/default/manifest.json"])
    assert sum(reasons.get("too_short", 0) for reasons in manifest["drops"].values())


def test_another_fingerprint_is_refused_until_it_is_accepted(
    cli: Cli, tmp_path: Path, config: Path
) -> None:
    assert cli("synthesize", config).code == 0
    changed = ("--set", "sampling.temperature=0.1")
    refused = cli("synthesize", config, *changed)
    assert refused.code == 2
    assert "value 'sampling': differs from the rows made so far" in refused.line
    assert cli("synthesize", config, *changed, "--accept-drift", "a test").code == 0
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert written["drift"] == [{"why": "a test", "changed": ["sampling"]}]


def test_a_runs_own_configuration_resumes_it(cli: Cli, config: Path) -> None:
    assert cli("run", config).code == 0
    assert cli("run", "run/config.yaml").code == 0


def test_a_dry_run_leaves_the_run_alone(cli: Cli, tmp_path: Path, config: Path) -> None:
    ended = cli("run", config, "--dry-run", "--set", "teacher.model=embedded")
    assert ended.code == 0, ended.err
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "run-dry-run" / "report.html").exists()


@pytest.mark.parametrize("verbs", [("run",), ("synthesize", "curate")])
def test_a_run_that_accepts_nothing_ends_with_3(
    cli: Cli, tmp_path: Path, config: Path, verbs: tuple[str, ...]
) -> None:
    (tmp_path / "strict.yaml").write_text("min_answer_words: 4000\n")
    ended = [cli(verb, config, "--set", "curate.policy=strict.yaml") for verb in verbs]
    assert [one.code for one in ended] == [*(0 for _ in verbs[1:]), 3]
    assert "unmet: none of 20 traces was accepted: 11 inconsistent, 9 too_short" in ended[-1].out


def test_a_run_that_loses_every_row_ends_with_3(cli: Cli, config: Path) -> None:
    ended = cli("synthesize", config, "--set", "recipe=tests.synth.scripts.rambling")
    assert ended.code == 3
    assert "unmet: none of 10 rows is ok: 10 unparsed" in ended.out


def test_too_many_failures_end_with_3_until_they_are_retried(
    cli: Cli, tmp_path: Path, config: Path
) -> None:
    broken = ("--set", "recipe=tests.synth.scripts.broken")
    ended = cli("run", config, *broken)
    assert ended.code == 3
    assert "unmet: 10 of 10 rows failed, 1.0% allowed" in ended.out
    assert "10 failed items" in cli("retry", "run").out
    assert "failed" in cli("status", "run").out


def test_a_quota_that_is_not_met_ends_with_3(cli: Cli, config: Path) -> None:
    ended = cli("synthesize", config, "--set", "accepted={per_category: 2, budget: 400}")
    assert ended.code == 3, ended.err
    assert "of 2 accepted" in ended.out


def test_plan_counts_without_planning(cli: Cli, tmp_path: Path, config: Path) -> None:
    ended = cli("plan", config, "--tok-s", "100", "--set", "evaluate={samples: 2}")
    assert ended.code == 0
    assert "rows owed: 20 in 2 leases" in ended.out
    assert "new tokens, every row at sampling.max_tokens: 7,680" in ended.out
    assert "evaluation: " in ended.out
    assert not (tmp_path / "run").exists()


def test_preview_shows_rows_and_why_they_would_go(cli: Cli, tmp_path: Path, config: Path) -> None:
    ended = cli("preview", config, "--rows", "4")
    assert ended.code == 0, ended.err
    assert ended.out.count("PROMPT") == 4
    assert "DROPPED    inconsistent: " in ended.out
    assert "KEPT" in ended.out
    assert not (tmp_path / "run").exists()
    redacted = cli("preview", config, "--rows", "1", "--redact")
    assert "characters, not shown]" in redacted.out


def test_a_deep_check_says_what_it_found(cli: Cli, tmp_path: Path, config: Path) -> None:
    ended = cli("check", config, "--deep")
    assert ended.code == 0, ended.err
    assert "teacher: scripted" in ended.out
    assert "10 seeds to train on" in ended.out
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_can_not_be_imported(cli: Cli, tmp_path: Path, config: Path) -> None:
    (tmp_path / "halfway.py").write_text("import no_such_module\n")
    mine = ("--set", "recipe=halfway.made")
    assert cli("check", config, *mine).code == 0, "located, not imported"
    ended = cli("check", config, *mine, "--deep")
    assert ended.code == 2
    assert "must be importable: ModuleNotFoundError" in ended.err


def test_only_curated_traces_are_trained_on(cli: Cli, tmp_path: Path, config: Path) -> None:
    config.write_text(f"{CONFIG}target: {{model: embedded}}\nfinetune: {{}}\n")
    assert cli("synthesize", config).code == 0
    refused = cli("finetune", config)
    assert refused.code == 2
    assert "run curate first" in refused.err


def test_a_comparison_is_refused_by_all_but_run_before_anything_is_written(
    cli: Cli, tmp_path: Path, config: Path
) -> None:
    both = "target: {model: embedded}\nfinetune: {}\nevaluate: {}\ncompare: {tokens: 500}\n"
    config.write_text(CONFIG + both)
    for verb in ("synthesize", "curate", "finetune", "evaluate", "report"):
        refused = cli(verb, config)
        assert refused.code == 2
        assert "only run works on a comparison" in refused.err
    assert not (tmp_path / "run").exists()
    plan = cli("plan", config)
    assert "tokens: rows owed: 20" in plan.out + plan.err


def test_a_comparison_names_the_section_it_lacks(cli: Cli, config: Path) -> None:
    config.write_text(f"{CONFIG}compare: {{tokens: 500}}\nfinetune: {{}}\n")
    refused = cli("check", config)
    assert refused.code == 2
    assert "compare: value {'tokens': 500}: a comparison needs the section evaluate" in refused.err
