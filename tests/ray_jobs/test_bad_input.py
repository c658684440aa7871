"""Bad input through the real command line: exit 2, one line with file, field, value and rule."""

from pathlib import Path

import pytest

from tests.ray_jobs.conftest import Cli


def write(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text.replace("RUN", str(folder / "run")), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "field", "value", "rule"),
    [
        ("run: [", "line 1", "run: [", "expected the node content"),
        ("run: RUN\nrun: RUN\n", "line 2", "run: ", "must not hold the key run twice"),
        ("run: &a RUN\nseeds: {path: *a}\n", "line 2", "seeds", "must not hold aliases"),
        ("- run", "file", "['run']", "must be a mapping"),
        ("samples: 2\n", "run", "None", "is required"),
        ("run: RUN\nsampels: 2\n", "sampels", "2", "unknown key; did you mean samples?"),
        ("run: RUN\nmax_tokens: 2\n", "max_tokens", "2", "did you mean sampling.max_tokens?"),
        ("run: RUN\nteacher: {api_key: hush}\n", "teacher.api_key", "(not shown)", "unknown key"),
        ("run: RUN\nsamples: many\n", "samples", "'many'", "must be a valid integer"),
        ("run: RUN\nsamples: 0\n", "samples", "0", "must be greater than 0"),
        ("run: RUN\nsampling: 3\n", "sampling", "3", "must be a section of fields"),
        ("run: RUN\nrecipe: []\n", "recipe", "[]", "must name at least one: refusal, srg"),
        ("run: RUN\nguidelines: []\n", "guidelines", "[]", "recipe srg is conditioned on one"),
        ("run: RUN\nrecipe: srgg\n", "recipe", "'srgg'", "must be one of refusal, srg"),
        ("run: RUN\nrecipe: no.such.thing\n", "recipe", "no.such", "must be one of refusal, srg"),
        (
            "run: RUN\naccepted: {per_category: 200, budget: 60000}\n",
            "accepted.per_category",
            "200",
            "all that is possible of srg, borderline, harassment: 2 seeds",
        ),
        (
            "run: RUN\naccepted: {per_category: 2, budget: 40}\n",
            "accepted.budget",
            "40",
            "must be at least 72",
        ),
        ("run: RUN\nguidelines: nope\n", "source", "'nope'", "a set that ships: srg"),
        ("run: RUN\nseeds: {path: no.jsonl}\n", "seeds.path", "No such file", "readable"),
        ("run: RUN\ncurate: {policy: no.yaml}\n", "curate.policy", "'no.yaml'", "must be default"),
        ("run: RUN\nteacher: {}\n", "teacher", "{}", "give either model or endpoint"),
        ("run: RUN\njudge: {model: .}\n", "judge.model", "", "it has no config.json"),
        ("run: RUN/file/under\n", "run", "under", "must be writable"),
        ("run: gs://bucket/run\n", "run", "gs://", "must be a local path, or s3://"),
        (
            "run: RUN\nteacher: {model: scripted, resources: {num_gpus: 4}}\n",
            "teacher.resources.num_gpus",
            "4.0",
            "GPUs of this machine",
        ),
        (
            "run: RUN\nteacher: {endpoint: {base_url: u, model: m, api_key_env: NO_KEY}}\n",
            "teacher.endpoint.api_key_env",
            "'NO_KEY'",
            "set in the environment",
        ),
        (
            "run: RUN\nteacher: {endpoint: {base_url: 'http://h/v1', model: m}}\n",
            "teacher",
            "'m'",
            "recipe srg needs the ability regex",
        ),
        ("run: RUN\nfinetune: {arms: [rt]}\n", "finetune.arms", "'rt'", "the run's recipes: srg"),
        (
            "run: RUN\nteacher: {model: scripted}\nfinetune: {}\n",
            "teacher",
            "'scripted'",
            "finetune needs weights",
        ),
        ("run: RUN\nevaluate: {attacks: [x]}\n", "evaluate.attacks.0", "'x'", "no attack x"),
        ("run: RUN\nevaluate: {models: [srg]}\n", "evaluate.models", "'srg'", "one of base"),
        (
            "run: RUN\nevaluate: {suites: [{name: a, path: no.csv}]}\n",
            "seeds.path",
            "No such file",
            "readable",
        ),
        (
            "run: RUN\nevaluate: {suites: [{name: a, path: no.csv, format: advbench}]}\n",
            "seeds.path",
            "No such file",
            "readable",
        ),
        (
            "run: RUN\nevaluate: {suites: [{name: utility, path: no.csv}]}\n",
            "evaluate.suites.0.name",
            "'utility'",
            "seeds and utility are taken",
        ),
        (
            "run: RUN\nevaluate: {certificates: [no.json]}\n",
            "file",
            "No such file",
            "guideweave judge certify",
        ),
        (
            "run: RUN\nevaluate: {judges: [llama_guard3]}\n",
            "evaluate.judges",
            "'llama_guard3'",
            "or guard.model",
        ),
        (
            "run: RUN\nevaluate: {judges: [{name: llama_guard3, model: {model: ./no}}]}\n",
            "evaluate.judges.llama_guard3.model",
            "'./no'",
            "is not a folder",
        ),
        (
            "run: RUN\nevaluate: {judges: [{name: helpfulness, scopes: [answer, both]}]}\n",
            "evaluate.judges.0",
            "helpfulness",
            "its scopes are answer alone",
        ),
        (
            "run: RUN\nevaluate: {attacks: [{attack: persuasion, taxonomy: no.jsonl}]}\n",
            "seeds.path",
            "No such file",
            "readable",
        ),
        (
            "run: RUN\nevaluate: {attacks: [{attack: own, rewrites: no.csv, family: tense}]}\n",
            "seeds.path",
            "No such file",
            "readable",
        ),
        (
            "run: RUN\nteacher: {model: scripted}\nevaluate: {representation: {}}\n",
            "teacher",
            "'scripted'",
            "evaluate.representation needs weights",
        ),
        (
            "run: RUN\nevaluate: {primary: 'discrimination: base vs base'}\n",
            "evaluate.primary",
            "base vs base",
            "model and baseline must differ",
        ),
        (
            "run: RUN\nevaluate: {greedy: false, primary: "
            "{metric: asr_rule, model: srg, decoding: greedy}}\n",
            "evaluate.primary",
            "greedy",
            "no greedy answers",
        ),
    ],
)
def test_a_bad_configuration(
    cli: Cli, tmp_path: Path, text: str, field: str, value: str, rule: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").touch()
    ended = cli("check", write(tmp_path, text))
    assert ended.code == 2
    assert f": {field}: value " in ended.line
    assert value in ended.line
    assert rule in ended.line


def test_a_recipe_of_ones_own_that_needs_guidelines_and_has_none(cli: Cli, tmp_path: Path) -> None:
    recipe = "tests.synth.scripts.echo"
    path = write(
        tmp_path, f"run: RUN\nrecipe: {recipe}\nguidelines: []\nteacher: {{model: scripted}}\n"
    )
    for words in (("check", path, "--deep"), ("synthesize", path)):
        ended = cli(*words)
        assert ended.code == 2
        assert "guidelines: value []: must name at least one set: recipe echo" in ended.err


@pytest.mark.parametrize("is_there", [False, True])
def test_the_harness_of_benchmarks_is_looked_for_before_training(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    if is_there:
        (tmp_path / "lm_eval.py").touch()
        monkeypatch.syspath_prepend(str(tmp_path))
    elsewhere = "teacher: {endpoint: {base_url: 'http://h/v1', model: m, can: [regex]}}\n"
    text = f"run: RUN\n{elsewhere}evaluate: {{lm_eval: [ifeval]}}\n"
    ended = cli("check", write(tmp_path, text))
    assert ended.code == 2
    if is_there:
        assert "teacher: value 'm': evaluate.lm_eval needs weights" in ended.line
    else:
        assert "evaluate.lm_eval: value 'ifeval': needs a package" in ended.line


SUITES = {
    "advbench": ("harmful.csv", "goal,target\nA bad one?,Sure\n"),
    "jailbreakbench": ("harmful-behaviors.csv", "Index,Goal,Category\n0,A bad one?,Fraud\n"),
}


@pytest.mark.parametrize("form", SUITES)
def test_a_suite_in_a_published_form_is_taken(cli: Cli, tmp_path: Path, form: str) -> None:
    name, rows = SUITES[form]
    (tmp_path / name).write_text(rows)
    benign = ""
    if form == "jailbreakbench":
        (tmp_path / "benign-behaviors.csv").write_text(rows.replace("bad", "good"))
        benign = ", benign: benign-behaviors.csv"
    suite = f"{{name: mine, format: {form}, path: {name}{benign}}}"
    config = write(tmp_path, f"run: RUN\nevaluate: {{suites: [{suite}]}}\n")
    ended = cli("check", config)
    assert ended.code == 0, ended.err
    (tmp_path / name).write_text(rows + rows.splitlines()[1] + "\n,,\n")
    assert cli("check", config).code == 2


def test_every_trained_student_can_be_evaluated(cli: Cli, tmp_path: Path) -> None:
    text = "run: RUN\nfinetune: {more_seeds: [1]}\nevaluate: {models: [srg-seed1]}\n"
    config = write(tmp_path, text)
    ended = cli("check", config)
    assert ended.code == 0, ended.err
    ended = cli("check", config, "--set", "evaluate.models=[srg-seed2]")
    assert ended.code == 2
    assert "must be one of base, srg, srg-seed1" in ended.line


@pytest.mark.parametrize(
    ("row", "field", "rule"),
    [
        ('{"label": "benign"}', "line 2: prompt", "must hold a prompt"),
        ('{"prompt": "Hm?", "label": "evil"}', "line 2: label", "must be one of"),
        ('{"prompt": "Hm?", "label": "benign", "id": 1}', "line 2: id", "must be unique"),
        ("{", "line 2", "must be JSON"),
        ("\udcff", "line 2", "must be UTF-8"),
    ],
)
def test_a_bad_seed_row_is_named(cli: Cli, tmp_path: Path, row: str, field: str, rule: str) -> None:
    rows = f'{{"prompt": "Well?", "label": "benign", "id": 1}}\n{row}\n'
    (tmp_path / "seeds.jsonl").write_text(rows, encoding="utf-8", errors="surrogateescape")
    ended = cli("check", write(tmp_path, "run: RUN\nseeds: {path: seeds.jsonl}\n"))
    assert ended.code == 2
    assert f"seeds.jsonl: {field}: value " in ended.line
    assert rule in ended.line


def test_an_empty_seeds_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").touch()
    ended = cli("check", write(tmp_path, "run: RUN\nseeds: {path: seeds.jsonl}\n"))
    assert ended.code == 2
    assert "must hold at least one seed" in ended.line


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("samples=0", "--set: samples: value 0: must be greater than 0"),
        ("sampling.top_k.x=1", "--set: sampling.top_k.x: value 5: sampling.top_k is no section"),
        ("samples", "--set: samples: value 'samples': must be section.field=value"),
        ("samples=[", "--set: line 1: value '[': expected the node content"),
    ],
)
def test_a_bad_override_is_named_as_one(cli: Cli, tmp_path: Path, override: str, line: str) -> None:
    path = write(tmp_path, "run: RUN\nsampling: {top_k: 5}\n")
    ended = cli("check", path, "--set", override)
    assert ended.code == 2
    assert ended.line.startswith(line)


@pytest.mark.parametrize(
    "argv", [(), ("nothing",), ("check",), ("check", "a", "b"), ("plan", "a", "--tok-s", "0")]
)
def test_a_bad_command_line(cli: Cli, argv: tuple[str, ...]) -> None:
    ended = cli(*argv)
    assert ended.code == 2
    if argv:
        assert "--help" in ended.line


@pytest.mark.parametrize("verb", ["status", "retry"])
def test_a_folder_that_is_no_run(cli: Cli, tmp_path: Path, verb: str) -> None:
    ended = cli(verb, tmp_path)
    assert ended.code == 2
    assert "must be a run directory, with a config.yaml" in ended.line


@pytest.mark.parametrize("verb", ["finetune", "evaluate"])
def test_a_section_that_a_verb_needs(cli: Cli, tmp_path: Path, verb: str) -> None:
    ended = cli(verb, write(tmp_path, "run: RUN\nteacher: {model: scripted}\n"))
    assert ended.code == 2
    assert f": {verb}: value None: this command needs the section" in ended.line


def test_a_run_directory_that_only_writing_shows_to_be_unwritable(cli: Cli, tmp_path: Path) -> None:
    config = write(tmp_path, "run: /proc/nowhere\nteacher: {model: scripted}\n")
    ended = cli("synthesize", config)
    assert ended.code == 2
    assert ": run: value '/proc/nowhere': must be writable: " in ended.line


def test_nothing_is_left_to_evaluate(cli: Cli, tmp_path: Path) -> None:
    text = "run: RUN\nteacher: {model: scripted}\nseeds: {eval_share: 0}\nevaluate: {}\n"
    ended = cli("plan", write(tmp_path, text))
    assert ended.code == 2
    assert ": evaluate: value 0: leaves no prompt" in ended.line


def test_no_seed_is_left_to_train_on(cli: Cli, tmp_path: Path) -> None:
    text = "run: RUN\nseeds: {limit: {harmful: 0, benign: 0, borderline: 0}}\n"
    ended = cli("plan", write(tmp_path, text))
    assert ended.code == 2
    assert "leaves no training seed" in ended.line
