"""What the dataset card and the drops say, whatever the texts they are about."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from synth.curate.card import cell, code
from tests.synth.curate.test_stage import make_config, run_stage
from tests.synth.traces import make_trace, publish_traces
from tests.synth.trainings import TWO_STEPS


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("![a](b) `c` *d* __e__", r"!\[a\](b) \`c\` \*d\* \_\_e\_\_"),
        ("~~f~~ # g \\", r"\~\~f\~\~ \# g \\"),
        ("https://x.y www.x.y", r"https\://x.y www\.x.y"),
        ("<b>&lt;\n\n# a | b", r"&lt;b&gt;&amp;lt; \# a \| b"),
        ("\u202e\x1b[31m", r"\\u202e\\x1b\[31m"),
    ],
)
def test_a_cell_holds_no_markup(value: str, shown: str) -> None:
    assert cell(value) == shown


def test_a_code_span_can_not_be_left() -> None:
    assert code("a`b\n``<b>\x1b") == "a'b ''<b>\\x1b"


@pytest.mark.parametrize("answer", ["", "Boil them for ten minutes."])
def test_what_datasets_loads_is_what_was_accepted(tmp_path: Path, answer: str) -> None:
    import datasets  # noqa: PLC0415 - heavy

    trace = make_trace("How are eggs boiled?", recipe="refusal", answer=answer)
    publish_traces(str(tmp_path), [trace])
    manifest = run_stage(make_config(tmp_path))
    curated, cache = str(tmp_path / "curated/default"), str(tmp_path / "cache")
    if not manifest["accepted"]["refusal"]:
        with pytest.raises(FileNotFoundError, match=r"No \(supported\) data files"):
            datasets.load_dataset(curated, cache_dir=cache)
        return
    loaded = datasets.load_dataset(curated, cache_dir=cache)
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 1}
    assert "completion" in loaded["train"].column_names


def test_drops_are_counted_by_the_step_they_happened_at(tmp_path: Path) -> None:
    rows = [
        make_trace("How are eggs boiled?", recipe="two", step=0, outcome="failed", answer=""),
        make_trace("How is bread baked?", recipe="two", step=0),
        make_trace("How is bread baked?", recipe="two", step=1, outcome="unparsed", answer=""),
        make_trace("How is tea made?", recipe="two", step=1, outcome="unparsed", answer=""),
    ]
    publish_traces(str(tmp_path), rows)
    manifest = run_stage(make_config(tmp_path), recipes={"two": TWO_STEPS})
    assert manifest["drops_by_step"] == [
        {"arm": "two", "step": 0, "reason": "earlier_step", "rows": 1},
        {"arm": "two", "step": 0, "reason": "failed", "rows": 1},
        {"arm": "two", "step": 1, "reason": "unparsed", "rows": 2},
    ]
    drops = pq.read_table(tmp_path / "curated/default/drops.parquet").to_pylist()
    assert sorted((row["step"], row["reason"]) for row in drops) == [
        (0, "earlier_step"),
        (0, "failed"),
        (1, "unparsed"),
        (1, "unparsed"),
    ]
