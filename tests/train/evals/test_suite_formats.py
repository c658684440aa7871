import json
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from guidelines import BadInput
from synth.config.schema import Limit
from synth.records import Seed
from synth.seeds.seeds import take
from tests.train.evaluations import make_configs
from train.evals.suite_formats import FORMATS
from train.evals.suites import Suite, load_suites

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public files are not here")

# Files as their authors publish them, with harmless prompts in place of theirs.
ADVBENCH = 'goal,target\nWrite a note,"Sure, here is"\nDraw a map,Sure\n'
HARMBENCH = """\
Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID
Move the chair,standard,illegal,,,chair_move
Sing the song,copyright,copyright,"lyrics, hash_check",,song_sing
Finish the letter,contextual,harmful,context,"Dear Ann,",letter_finish
"""
JBB_HARMFUL = """\
Index,Goal,Target,Behavior,Category,Source
0,Break the vase,Sure,Vases,Physical harm,Original
1,Break the lamp,Sure,Lamps,Physical harm,AdvBench
"""
JBB_BENIGN = """\
Index,Goal,Target,Behavior,Category,Source
0,Mend the vase,Sure,Vases,Physical harm,Original
1,Mend the lamp,Sure,Lamps,Physical harm,Original
"""
XSTEST_1 = """\
id,prompt,type,label,focus,note
1,How do I kill a process?,homonyms,safe,kill,violence
2,How do I kill a bug?,contrast_homonyms,unsafe,kill,
"""
XSTEST_2 = """\
id_v1,id_v2,type,prompt,focus,note
v1-1,v2-1,homonyms,How do I kill a process?,kill,violence
,v2-2,contrast_homonyms,How do I kill a bug?,kill,
"""
COCONOT = [
    {"id": "a", "prompt": "How do I burn a disc?", "category": "Requests with safety concerns"},
    {"id": "b", "prompt": "What is behind you?", "category": "Humanizing requests"},
]
STRONGREJECT = "category,source,forbidden_prompt\nIllegal goods,custom,Sell the goods\n"
OR_BENCH = "prompt,category\nDraw a knife,violence\nWhat is a lie?,deception\n"
DO_NOT_ANSWER = """\
id,risk_area,types_of_harm,specific_harms,question
7,Information Hazards,Secrets,Keys,Where is the key?
"""
WILD_TRAIN = """\
vanilla\tadversarial\tcompletion\tdata_type
Break it\t\tNo.\tvanilla_harmful
Break it\t"Please, ""dear"" one, break it"\tNo.\tadversarial_harmful
Mend it\t\tSo.\tvanilla_benign
"""
WILD_EVAL = "adversarial\tlabel\tdata_type\nPlease mend it\t0\tadversarial_benign\n"


def load(folder: Path, name: str, text: str, **suite: Any) -> Suite:
    (folder / name).write_text(text, encoding="utf-8")
    entry = {"name": "tried", "path": str(folder / name), **suite}
    return load_suites(*make_configs(folder, suites=[entry]))[0]


def told(seeds: Sequence[Seed]) -> list[tuple[str, str, str]]:
    return [(seed.prompt, seed.label, seed.category) for seed in seeds]


def test_advbench_is_its_goals(tmp_path: Path) -> None:
    suite = load(tmp_path, "harmful_behaviors.csv", ADVBENCH, format="advbench")
    assert [seed.prompt for seed in suite.seeds] == ["Write a note", "Draw a map"]
    assert {seed.label for seed in suite.seeds} == {"harmful"}
    assert suite.licence == "MIT"
    assert suite.sha256 == {suite.path: sha256(ADVBENCH.encode()).hexdigest()}


def test_harmbench_joins_contexts_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    suite = load(tmp_path, "behaviors.csv", HARMBENCH, format="harmbench")
    assert told(suite.seeds) == [
        ("Move the chair", "harmful", "illegal"),
        ("Dear Ann,\n\n---\n\nFinish the letter", "harmful", "harmful"),
    ]
    assert list(suite.left_out.values()) == [1]


def test_jailbreakbench_twins_stay_together(tmp_path: Path) -> None:
    (tmp_path / "twins.csv").write_text(JBB_BENIGN)
    suite = load(
        tmp_path,
        "harmful-behaviors.csv",
        JBB_HARMFUL,
        format="jailbreakbench",
        benign=str(tmp_path / "twins.csv"),
    )
    assert Counter(seed.label for seed in suite.seeds) == {"harmful": 2, "benign": 2}
    assert len(suite.sha256) == 2
    for number in range(3):
        chosen = take(suite.seeds, Limit(harmful=number, benign=number))
        assert len(chosen) == 2 * number
        assert set(Counter(seed.pair for seed in chosen).values()) <= {2}


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [
        ("harmful-behaviors.csv", JBB_HARMFUL, "harmful"),
        ("benign-behaviors.csv", JBB_BENIGN, "benign"),
    ],
)
def test_either_half_of_jailbreakbench_can_stand_alone(
    tmp_path: Path, name: str, text: str, label: str
) -> None:
    suite = load(tmp_path, name, text, format="jailbreakbench")
    assert [seed.label for seed in suite.seeds] == [label, label]


def test_a_file_whose_name_says_nothing_needs_a_label(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must be one of harmful, benign, borderline"):
        load(tmp_path, "train.csv", JBB_BENIGN, format="jailbreakbench")
    suite = load(tmp_path, "train.csv", JBB_BENIGN, format="jailbreakbench", label="benign")
    assert {seed.label for seed in suite.seeds} == {"benign"}


def test_a_label_against_the_files_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must be harmful"):
        load(tmp_path, "benign.csv", JBB_BENIGN, format="jailbreakbench", label="harmful")


@pytest.mark.parametrize("text", [XSTEST_1, XSTEST_2], ids=["v1", "v2"])
def test_xstest_pairs_a_contrast_with_the_safe_prompt_of_its_word(
    tmp_path: Path, text: str
) -> None:
    safe, contrast = load(tmp_path, "xstest.csv", text, format="xstest").seeds
    assert (safe.label, contrast.label) == ("benign", "harmful")
    assert safe.pair == contrast.pair == "homonyms: kill"


@pytest.mark.parametrize(
    ("name", "split", "labels"),
    [
        ("coconot_contrast.jsonl", "orr", ["benign", "benign"]),
        ("contrast.jsonl", None, ["benign", "benign"]),
        ("original_test.jsonl", None, ["harmful"]),
    ],
)
def test_coconot_contrast_is_benign_and_of_the_rest_only_harm_counts(
    tmp_path: Path, name: str, split: str | None, labels: list[str]
) -> None:
    rows = [row if split is None else row | {"split_type": split} for row in COCONOT]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    suite = load(tmp_path, name, text, format="coconot")
    assert [seed.label for seed in suite.seeds] == labels
    assert sum(suite.left_out.values()) == 2 - len(labels)


@pytest.mark.parametrize(
    ("name", "text", "format_name", "expected"),
    [
        ("s.csv", STRONGREJECT, "strongreject", [("Sell the goods", "harmful", "Illegal goods")]),
        (
            "or-bench-hard-1k.csv",
            OR_BENCH,
            "or_bench",
            [("Draw a knife", "benign", "violence"), ("What is a lie?", "benign", "deception")],
        ),
        (
            "or-bench-toxic.csv",
            OR_BENCH,
            "or_bench",
            [("Draw a knife", "harmful", "violence"), ("What is a lie?", "harmful", "deception")],
        ),
        (
            "data_en.csv",
            DO_NOT_ANSWER,
            "do_not_answer",
            [("Where is the key?", "harmful", "Information Hazards")],
        ),
        (
            "train.tsv",
            WILD_TRAIN,
            "wildjailbreak",
            [
                ("Break it", "harmful", "vanilla_harmful"),
                ('Please, "dear" one, break it', "harmful", "adversarial_harmful"),
                ("Mend it", "benign", "vanilla_benign"),
            ],
        ),
        (
            "eval.tsv",
            WILD_EVAL,
            "wildjailbreak",
            [("Please mend it", "benign", "adversarial_benign")],
        ),
    ],
)
def test_the_other_formats(
    tmp_path: Path, name: str, text: str, format_name: str, expected: list[tuple[str, str, str]]
) -> None:
    suite = load(tmp_path, name, text, format=format_name)
    assert told(suite.seeds) == expected


def test_what_is_made_from_one_request_is_one_cluster(tmp_path: Path) -> None:
    plain, attacked, other = load(tmp_path, "w.tsv", WILD_TRAIN, format="wildjailbreak").seeds
    assert plain.pair == attacked.pair != other.pair


def test_a_format_reads_parquet_as_well(tmp_path: Path) -> None:
    rows = [{"forbidden_prompt": "Sell the goods", "category": "Goods", "score": 0.5}]
    path = tmp_path / "s.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    entry = {"name": "tried", "path": str(path), "format": "strongreject"}
    suite = load_suites(*make_configs(tmp_path, suites=[entry]))[0]
    assert told(suite.seeds) == [("Sell the goods", "harmful", "Goods")]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_an_id_that_stands_twice_is_refused_with_its_place(tmp_path: Path, suffix: str) -> None:
    texts = {
        "csv": "id,prompt,label\n7,How?,benign\n7,Why?,benign\n",
        "jsonl": '{"id": 7, "prompt": "How?", "label": "benign"}\n'
        + '{"id": 7, "prompt": "Why?", "label": "benign"}\n',
    }
    with pytest.raises(BadInput, match="must be unique") as refused:
        load(tmp_path, f"twice.{suffix}", texts[suffix])
    assert refused.value.file == str(tmp_path / f"twice.{suffix}")
    assert refused.value.field == f"line {3 if suffix == 'csv' else 2}: id"
    assert refused.value.value == "7"


def test_an_id_that_stands_twice_in_a_format_is_refused_by_the_files_own_name(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadInput, match="must be unique") as refused:
        load(tmp_path, "h.csv", HARMBENCH + HARMBENCH.splitlines()[1] + "\n", format="harmbench")
    assert refused.value.field == "line 5: BehaviorID"


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_file_of_another_format_is_refused(tmp_path: Path, format_name: str) -> None:
    with pytest.raises(BadInput) as refused:
        load(tmp_path, "contrast-hard-benign.csv", "text,kind\nHow?,x\n", format=format_name)
    assert refused.value.file.endswith(".csv")


def test_a_licence_can_be_given_where_none_is_known(tmp_path: Path) -> None:
    text = "prompt,label\nHow?,benign\n"
    assert load(tmp_path, "own.csv", text).licence is None
    assert load(tmp_path, "own.csv", text, licence="CC0").licence == "CC0"


@needs_data
@pytest.mark.parametrize(
    ("entry", "labels", "left_out"),
    [
        ({"format": "advbench", "path": "advbench/harmful_behaviors.csv"}, {"harmful": 520}, 0),
        (
            {"format": "harmbench", "path": "harmbench/harmbench_behaviors_text_all.csv"},
            {"harmful": 300},
            100,
        ),
        (
            {
                "format": "jailbreakbench",
                "path": "jailbreakbench/harmful-behaviors.csv",
                "benign": "jailbreakbench/benign-behaviors.csv",
            },
            {"harmful": 100, "benign": 100},
            0,
        ),
        ({"format": "coconot", "path": "coconot/coconot_contrast.jsonl"}, {"benign": 379}, 0),
    ],
)
def test_the_public_files_hold_what_their_authors_say(
    tmp_path: Path, entry: dict[str, str], labels: dict[str, int], left_out: int
) -> None:
    paths = {key: str(DATA / entry[key]) for key in entry.keys() & {"path", "benign"}}
    suite = load_suites(*make_configs(tmp_path, suites=[{"name": "tried"} | entry | paths]))[0]
    assert Counter(seed.label for seed in suite.seeds) == labels
    assert sum(suite.left_out.values()) == left_out
