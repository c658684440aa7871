"""What `guideweave status` shows of a run at work, and of one that is curated."""

import io
import re
from typing import Any

from rich.console import Console, RenderableType

from ray_jobs.status import view
from ray_jobs.summary import drops_table
from synth.status import Beat, Status
from tests.hostile import HOSTILE, is_plain


def shown(what: RenderableType) -> str:
    screen = io.StringIO()
    Console(file=screen, width=200).print(what)
    return screen.getvalue()


def make_status(ended: bool = False, **fields: Any) -> Status:
    beat = Beat(
        stage="synthesize",
        ended=ended,
        age_s=3,
        done=6,
        planned=20,
        tokens_per_s=12.0,
        left_s=None if ended else 60,
    )
    usual: dict[str, Any] = {
        "run": "run",
        "leases_done": 1,
        "leases_planned": 2,
        "rows_planned": 20,
        "outcomes": {"ok": 6, "failed": 2},
        "kinds": {("srg", "benign", "bread/rolls"): {"ok": 6, "failed": 2}},
        "accepted_so_far": None,
        "barren": {},
        "retried": 0,
        "output_tokens": 100,
        "uncounted": 0,
        "cost": None,
        "curated": {},
        "batches": {},
        "beat": beat,
    }
    return Status(**(usual | fields))


def test_a_run_at_work_shows_how_each_category_does() -> None:
    told = shown(view(make_status()))
    assert re.search(r"srg, benign, bread/rolls +8 +6 +75\.0% +-", told)
    assert "last sign of life 0:03 ago, 6 of 20 rows, 12 tok/s, 1:00 left" in told


def test_under_a_quota_the_last_count_is_shown() -> None:
    counted = {("srg", "benign", "bread/rolls"): 4}
    told = shown(view(make_status(accepted_so_far=counted)))
    assert re.search(r"srg, benign, bread/rolls +8 +6 +75\.0% +4", told)


def test_a_cell_that_a_quota_has_given_up_is_named() -> None:
    told = shown(view(make_status(barren={("srg", "harmful", "theft"): 96})))
    assert "srg, harmful, theft: gets no more, its last 96 candidates gave nothing" in told


def test_drops_stand_by_reason_and_step() -> None:
    parts = [
        {"arm": "two", "step": 0, "reason": "failed", "rows": 1},
        {"arm": "two", "step": 1, "reason": "unparsed", "rows": 2},
        {"arm": "one", "step": 0, "reason": "failed", "rows": 3},
    ]
    manifest = {"drops": {"none": {}, "one": {}, "two": {}}, "drops_by_step": parts}
    told = shown(drops_table(manifest))
    assert re.search(r"Reason +none +one +two, step 0 +two, step 1", told)
    assert re.search(r"failed +0 +3 +1 +0", told)
    assert re.search(r"unparsed +0 +0 +0 +2", told)


def test_nothing_that_a_run_holds_reaches_the_screen_as_it_is() -> None:
    kinds = {("srg", "benign", HOSTILE): {"ok": 1}}
    assert is_plain(shown(view(make_status(run=HOSTILE, kinds=kinds))))


def test_batches_show_what_they_hold_and_what_they_owe() -> None:
    batches = {"answers-srg-0123": {"ok": 1200, "failed": 3, "owed": 4}}
    told = shown(view(make_status(batches=batches)))
    assert re.search(r"answers-srg-0123 +3 failed, 1,200 ok, 4 owed", told)
