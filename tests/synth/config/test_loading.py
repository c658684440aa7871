"""From a file and overrides to a configuration, or to one line that says what is wrong."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth.config.loading import MAX_BYTES, dotted_fields, load_config, nearest_field
from synth.config.schema import SynthConfig
from synth.errors import BadInput


def load(folder: Path, text: str, *overrides: str) -> SynthConfig:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def test_defaults_stand_where_nothing_is_said(tmp_path: Path) -> None:
    config = load(tmp_path, "run: runs/first\nrecipe: srg\n")
    assert config == SynthConfig(run="runs/first")
    assert config.recipe == ("srg",)


def test_overrides_win_and_are_read_as_yaml(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "run: a\nsampling: {temperature: 0.7}\n",
        "sampling.temperature=1e-1",
        "teacher.model=Qwen/Qwen3-8B",
        "recipe=[refusal, srg]",
        "seeds.limit={harmful: 3}",
        "accepted=null",
        "run=b=c",
    )
    assert config.sampling.temperature == 0.1
    assert config.teacher.model == "Qwen/Qwen3-8B"
    assert config.recipe == ("refusal", "srg")
    assert config.seeds.limit.harmful == 3
    assert config.run == "b=c"


def test_sections_of_other_packages_are_left_to_them(tmp_path: Path) -> None:
    text = "run: a\nfinetune: {anything: 1}\nevaluate: [2]\nfingerprint: {}\ndrift: []\n"
    assert load(tmp_path, text) == SynthConfig(run="a")


def test_several_violations_are_counted(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load(tmp_path, "run: a\nsamples: 0\nseeds: {eval_share: 2}\nsampling: {top_p: 0}\n")
    assert caught.value.rule.endswith("(2 more rules are broken)")


def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    text = "run: a\nteacher: {endpoint: {base_url: u, model: m, api_key: hush}}\n"
    with pytest.raises(BadInput) as caught:
        load(tmp_path, text)
    assert "hush" not in str(caught.value)
    assert caught.value.field == "teacher.endpoint.api_key"


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must be at most 1 MiB"):
        load(tmp_path, "#" * (MAX_BYTES + 1))


def test_a_deep_file_is_refused_not_followed(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="recursion"):
        load(tmp_path, "[" * 10_000)


def test_tags_build_no_objects(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="could not determine a constructor"):
        load(tmp_path, "run: !!python/object/apply:os.getcwd []\n")


def test_broken_utf8_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"run: a\nrecipe: \xff\n")
    with pytest.raises(BadInput) as caught:
        load_config(path)
    assert caught.value.field == "line 2"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_a_file_holds_it_is_a_configuration_or_bad_input(
    tmp_path: Path, raw: bytes
) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(raw)
    try:
        found: object = load_config(path)
    except BadInput as error:
        found = error
    assert isinstance(found, SynthConfig | BadInput)
    assert isinstance(found, SynthConfig) or len(str(found).splitlines()) == 1


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        (("sampels",), "; did you mean samples?"),
        (("sampling", "temprature"), "; did you mean sampling.temperature?"),
        (("per_category",), "; did you mean accepted.per_category?"),
        (("accepted", "zzz"), "; known here: per_category, budget"),
    ],
)
def test_the_nearest_field(place: tuple[str, ...], hint: str) -> None:
    assert nearest_field(SynthConfig, place) == hint


def test_fields_of_optional_sections_are_known_too() -> None:
    assert "judge.endpoint.base_url" in set(dotted_fields(SynthConfig))
