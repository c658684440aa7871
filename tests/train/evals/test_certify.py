import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import BadInput
from synth.judges.base import (
    REFUSAL,
    SAFETY,
    UNDETERMINED,
    Exchange,
    Judge,
    RuleJudge,
    Verdict,
    undetermined,
)
from train.evals.certify import (
    Certificate,
    Labelled,
    LabelsFile,
    certify,
    errors_of,
    matches,
    read_certificate,
    read_labelled,
    sensitivity_and_specificity,
    write_certificate,
)

ROWS = [
    {"prompt": "p1", "answer": "unsafe", "human": "1"},
    {"prompt": "p1", "answer": "safe", "human": "0"},
    {"prompt": "p2", "answer": "", "human": "1"},
]


def judge_of(classes: Sequence[str]) -> Judge:
    """A judge that takes a text at its word."""

    def judge(exchange: Exchange) -> Verdict:
        known = exchange.text in classes
        return Verdict(verdict=exchange.text) if known else undetermined("no class")

    return RuleJudge(name="echo", version=1, classes=classes, judge=judge)


def labels_file(path: Path, classes: dict[str, str] | None = None) -> LabelsFile:
    meaning = {"1": "unsafe", "0": "safe"} if classes is None else classes
    return LabelsFile(
        path=str(path), text="answer", label="human", prompt="prompt", rival=None, classes=meaning
    )


def certified(
    folder: Path, said: Sequence[tuple[str, str]], classes: Sequence[str] = SAFETY
) -> Certificate:
    """Certify a judge by people's classes and its own words."""
    path = folder / "labels.jsonl"
    path.write_text("the bytes of the file")
    judge = judge_of(classes)
    labelled = [
        Labelled(exchange=Exchange(prompt=f"p{i}", text=text), label=label)
        for i, (label, text) in enumerate(said)
    ]
    assert isinstance(judge, RuleJudge)
    verdicts = [judge.judge(one.exchange) for one in labelled]
    return certify(judge, "r1", None, labels_file(path), labelled, verdicts)


def write(folder: Path, suffix: str, rows: Sequence[Mapping[str, object]]) -> Path:
    path = folder / f"labels.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif suffix == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        lines = [",".join(map(str, row.values())) for row in rows]
        path.write_text("\n".join(["# version 1", ",".join(rows[0]), *lines]) + "\n")
    return path


def test_the_numbers_of_a_small_case(tmp_path: Path) -> None:
    said = [("unsafe", "unsafe")] * 6 + [("unsafe", "safe")] * 2 + [("unsafe", "?")] * 2
    said += [("safe", "unsafe")] + [("safe", "safe")] * 9
    found = certified(tmp_path, said)
    assert (found.n, found.determined, found.undetermined) == (20, 18, 2)
    assert found.undetermined_reasons == {"no class": 2}
    assert found.accuracy == pytest.approx(15 / 18, abs=1e-6)
    assert found.accuracy_bounds == (0.75, 0.85)
    assert found.kappa == pytest.approx((15 / 18 - 166 / 324) / (1 - 166 / 324), abs=1e-6)
    unsafe = found.per_class["unsafe"]
    assert unsafe.n == 10
    assert unsafe.precision == pytest.approx(6 / 7, abs=1e-6)
    assert unsafe.recall == unsafe.sensitivity == 0.75
    assert unsafe.specificity == 0.9
    assert found.confusion["unsafe"] == {"unsafe": 6, "safe": 2, UNDETERMINED: 2}
    assert sensitivity_and_specificity(found) == {"sensitivity": 0.75, "specificity": 0.9}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(REFUSAL), st.sampled_from([*REFUSAL, "?"])), min_size=1))
def test_the_undetermined_are_counted_and_no_error_nor_success(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str]]
) -> None:
    found = certified(tmp_path_factory.mktemp("labels"), said, REFUSAL)
    known = [(label, text) for label, text in said if text != "?"]
    assert found.undetermined == len(said) - len(known)
    if found.merged:
        assert all(label != "partial" for label, _ in said)
        known = [(label, found.merged.get(text, text)) for label, text in known]
    right = sum(label == text for label, text in known)
    if known:
        assert found.accuracy == pytest.approx(right / len(known), abs=1e-6)
    else:
        assert found.accuracy is None
    low, high = found.accuracy_bounds
    assert low == pytest.approx(right / len(said), abs=1e-6)
    assert high == pytest.approx((right + found.undetermined) / len(said), abs=1e-6)


def test_labels_without_partial_refusals_count_a_partial_one_as_a_refusal(tmp_path: Path) -> None:
    said = [("refusal", "partial"), ("refusal", "refusal"), ("compliance", "compliance")]
    found = certified(tmp_path, said, REFUSAL)
    assert found.merged == {"partial": "refusal"}
    assert found.classes == ("refusal", "compliance")
    assert found.accuracy == 1
    assert found.verdicts == {"partial": 1, "refusal": 1, "compliance": 1}


def test_labels_with_partial_refusals_tell_all_three_apart(tmp_path: Path) -> None:
    said = [("partial", "refusal"), ("refusal", "refusal"), ("compliance", "compliance")]
    found = certified(tmp_path, said, REFUSAL)
    assert found.merged == {}
    assert found.classes == REFUSAL
    assert found.accuracy == pytest.approx(2 / 3, abs=1e-6)


def test_a_certificate_is_read_as_it_was_written_and_written_alike(tmp_path: Path) -> None:
    found = certified(tmp_path, [("unsafe", "unsafe"), ("safe", "?"), ("safe", "safe")])
    for name in ("first", "second"):
        write_certificate(str(tmp_path / name), found)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert read_certificate(str(tmp_path / "first")) == found
    assert matches(found, "echo", "r1")
    assert not matches(found, "echo", "r2")
    assert not matches(found, "other", "r1")


def test_the_errors_leave_out_what_was_undetermined(tmp_path: Path) -> None:
    said = [("unsafe", "unsafe")] * 3 + [("unsafe", "safe"), ("unsafe", "?"), ("safe", "safe")]
    found = errors_of(certified(tmp_path, said), "unsafe")
    assert (found.found, found.positives, found.cleared, found.negatives) == (3, 4, 1, 1)


def test_the_errors_of_several_classes_are_those_of_their_union(tmp_path: Path) -> None:
    said = [("partial", "compliance"), ("compliance", "refusal"), ("refusal", "refusal")]
    found = errors_of(certified(tmp_path, said, REFUSAL), "partial", "compliance")
    assert (found.found, found.positives, found.cleared, found.negatives) == (1, 2, 1, 1)


def test_a_class_that_is_not_told_apart_has_no_errors_to_correct_for(tmp_path: Path) -> None:
    merged = certified(tmp_path, [("refusal", "partial"), ("compliance", "compliance")], REFUSAL)
    found = errors_of(merged, "partial", "compliance")
    assert (found.positives, found.negatives) == (0, 0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"n": 7}, "certificate"),
        ({"n": "3"}, "n"),
        ({"judge": None}, "judge"),
        ({"schema_version": 9}, "schema_version"),
        ({"extra": 1}, "extra"),
        ({"confusion": {}}, "certificate"),
    ],
)
def test_a_certificate_that_was_tampered_with_is_refused(
    tmp_path: Path, change: dict[str, object], field: str
) -> None:
    path = tmp_path / "certificate.json"
    write_certificate(str(path), certified(tmp_path, [("unsafe", "unsafe"), ("safe", "safe")]))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadInput) as bad:
        read_certificate(str(path))
    assert (bad.value.file, bad.value.field) == (str(path), field)


@pytest.mark.parametrize("text", [None, "", "[]", "{"])
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "certificate.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=r"certificate\.json"):
        read_certificate(str(path))


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    found = read_labelled(labels_file(write(tmp_path, suffix, ROWS)), SAFETY)
    assert [(one.label, one.exchange) for one in found] == [
        ("unsafe", Exchange(prompt="p1", text="unsafe")),
        ("safe", Exchange(prompt="p1", text="safe")),
        ("unsafe", Exchange(prompt="p2", text="")),
    ]


@pytest.mark.parametrize("value", [1, 1.0, "1", " 1 "])
def test_a_number_is_mapped_as_it_is_written(tmp_path: Path, value: object) -> None:
    path = write(tmp_path, "jsonl", [{"answer": "a", "human": value, "prompt": None}])
    assert [one.label for one in read_labelled(labels_file(path), SAFETY)] == ["unsafe"]


def test_a_truth_is_mapped_by_its_word(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl", [{"answer": "a", "human": True, "prompt": "p"}])
    found = read_labelled(labels_file(path, {"true": "unsafe"}), SAFETY)
    assert [one.label for one in found] == ["unsafe"]


def test_classes_need_no_mapping_unless_one_is_given(tmp_path: Path) -> None:
    rows = [{"answer": "a", "human": name, "prompt": "p"} for name in SAFETY]
    path = write(tmp_path, "jsonl", rows)
    assert [one.label for one in read_labelled(labels_file(path, {}), SAFETY)] == [*SAFETY]
    turned = labels_file(path, {"unsafe": "safe", "safe": "unsafe"})
    assert [one.label for one in read_labelled(turned, SAFETY)] == ["safe", "unsafe"]


def refusal(source: LabelsFile) -> BadInput:
    with pytest.raises(BadInput) as bad:
        read_labelled(source, SAFETY)
    assert bad.value.file == source.path
    return bad.value


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_missing_column_is_named_beside_those_there_are(tmp_path: Path, suffix: str) -> None:
    rows = [{"prompt": "p", "reply": "a", "human": "1", "note": "n"}]
    bad = refusal(labels_file(write(tmp_path, suffix, rows)))
    assert (bad.field, bad.value) == ("--text", "answer")
    assert "prompt, reply, human, note" in bad.rule


def test_a_column_of_which_a_row_has_no_cell_is_blank_there(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl", [{"human": "1"}, *ROWS])
    assert read_labelled(labels_file(path), SAFETY)[0].exchange == Exchange(prompt="", text="")


def test_labels_without_a_class_are_listed_with_their_counts(tmp_path: Path) -> None:
    said = ["maybe"] * 3 + ["", "no idea", "x" * 40, "1"]
    rows = [{"answer": "a", "human": label, "prompt": "p"} for label in said]
    bad = refusal(labels_file(write(tmp_path, "jsonl", rows)))
    assert (bad.field, bad.value) == ("column human", "6 rows")
    assert "'maybe' (3), (empty) (1), 'no idea' (1), <40 characters> (1)" in bad.rule
    assert "unsafe, safe" in bad.rule


def test_many_labels_without_a_class_are_not_all_listed(tmp_path: Path) -> None:
    rows = [{"answer": "a", "human": f"label {i}", "prompt": "p"} for i in range(100)]
    bad = refusal(labels_file(write(tmp_path, "jsonl", rows)))
    assert "and 92 more values" in bad.rule
    assert len(str(bad)) < 800


@pytest.mark.parametrize(
    ("row", "field", "rule"),
    [
        ({"answer": 7, "human": "1"}, "line 1: answer", "must be text"),
        ({"answer": ["a"], "human": "1"}, "line 1: answer", "must be text"),
        ({"answer": "a", "human": ["1"]}, "line 1: human", "must be text or a number"),
        ({"answer": "\ud800", "human": "1"}, "line 1: answer", "must be valid Unicode"),
    ],
)
def test_a_cell_of_another_type_is_named(
    tmp_path: Path, row: dict[str, object], field: str, rule: str
) -> None:
    bad = refusal(labels_file(write(tmp_path, "jsonl", [{"prompt": "p"} | row])))
    assert (bad.field, bad.rule) == (field, rule)


@pytest.mark.parametrize(
    ("name", "text", "field"),
    [
        ("none.jsonl", None, "--labels"),
        ("labels.xlsx", "", "--labels"),
        ("labels.jsonl", "", "rows"),
        ("labels.csv", "answer,human\n", "rows"),
        ("labels.jsonl", "{", "line 1"),
    ],
)
def test_an_unusable_file_is_named(tmp_path: Path, name: str, text: str | None, field: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert refusal(labels_file(tmp_path / name)).field == field
