"""Having a model write the attacked prompts, through the one scheduler.

What the model would not or could not write is left out and counted by its reason: an attack
that changes nothing, or that sends the rewriter's own refusal, would pass for safety.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from guidelines import GuidelineSet
from synth.batch import Batch, RunBatch
from synth.config.schema import ModelConfig
from synth.digest import digest
from synth.errors import Unparsed
from synth.judges.refusal import OUTRIGHT, judge_refusal
from synth.models.families import FAMILIES, split_reasoning
from synth.models.identity import identify
from synth.recipes import Models, Recipe, Step
from synth.records import Item, Outcome, Sampling, Seed, Trace
from synth.seeds.near_duplicates import normalize
from synth.workspace.workspaces import batch_workspace
from train.evals.attacks.rewriters import (
    BACK_TRANSLATION,
    REWRITERS,
    Rewriter,
    instruct,
    parse_rewrite,
)

RECIPE = "rewrite"
ROLE = "rewriter"
SAMPLING = Sampling(temperature=0.0, max_tokens=512)

Details = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What became of the texts.

    Attributes:
        texts: Id of a text to its rewrite.
        failures: Why there is none, to how often: `refused`, `unchanged`, or the outcome.
    """

    texts: Mapping[str, str]
    failures: Mapping[str, int]


def rewrite(
    run: str,
    run_batch: RunBatch,
    name: str,
    rewriter: Rewriter,
    texts: Mapping[str, tuple[str, Details]],
    model: ModelConfig,
    sampling: Sampling = SAMPLING,
) -> Rewritten:
    """Have `model` rewrite texts.

    Args:
        run: The run's folder.
        run_batch: Runs items through the scheduler.
        name: What progress and the workspace call it.
        rewriter: The task.
        texts: Id to a text, and to what fills the task's fields for it.
        model: Who writes.
        sampling: How.
    """
    fingerprint = digest(
        REWRITE.version, rewriter.name, rewriter.version, identify(model).digest, asdict(sampling)
    )
    items = {key: _item(rewriter, *text) for key, text in texts.items()}
    if not items:
        return Rewritten(texts={}, failures={})
    batch = Batch(
        stage=name,
        workspace=batch_workspace(run, name, fingerprint),
        items=list({item.item_id: item for item in items.values()}.values()),
        recipe="train.evals.attacks.rewrites.REWRITE",
        models={ROLE: model},
        sampling=sampling,
        fingerprint=fingerprint,
    )
    rows = _finished(run_batch(batch).to_pylist(), batch)
    faults = {key: _fault(rewriter, rows[item.item_id]) for key, item in items.items()}
    return Rewritten(
        texts={
            key: rows[item.item_id]["answer"] for key, item in items.items() if faults[key] is None
        },
        failures=counted(fault for fault in faults.values() if fault is not None),
    )


def translate_back(
    run: str, run_batch: RunBatch, language: str, replies: Mapping[str, str], model: ModelConfig
) -> Rewritten:
    """Translate replies to English, so that judges who know no other language can read them.

    Args:
        run: The run's folder.
        run_batch: Runs items through the scheduler.
        language: What the replies are written in, by its English name.
        replies: Id to text. A reply that was in English already has no translation, and is
            counted as `unchanged`.
        model: Who translates.
    """
    texts = {key: (reply, {"language": language}) for key, reply in replies.items()}
    return rewrite(run, run_batch, "back-translation", BACK_TRANSLATION, texts, model)


async def rewrite_step(
    item: Item, models: Models, guidelines: GuidelineSet | None = None
) -> list[Trace]:
    """Ask for one rewrite, once.

    Raises:
        Unparsed: The reply is not one text between the tags, or was cut.
    """
    rewriter = _find(item.payload["rewriter"])
    messages = instruct(rewriter, item.payload["details"], item.seed.prompt)
    reply = await models.rewriter(messages, models.sampling)
    parts = split_reasoning(reply.text, FAMILIES["generic"])
    text = reply.text if reply.reasoning else parts.answer
    written = parse_rewrite(text)
    cut = reply.finish_reason == "length"
    if written is None or cut:
        raise Unparsed("no text between <rewrite> and </rewrite>", raw=text, truncated=cut)
    return [Trace(reasoning=reply.reasoning, answer=written, raw=reply.text)]


REWRITE = Recipe(
    name=RECIPE,
    version=1,
    steps=(Step(rewrite_step, roles=(ROLE,)),),
    needs={ROLE: frozenset()},
    guided=False,
)


def _find(name: str) -> Rewriter:
    return BACK_TRANSLATION if name == BACK_TRANSLATION.name else REWRITERS[name]


def _item(rewriter: Rewriter, text: str, details: Details) -> Item:
    seed = Seed(
        seed_id=digest(text), prompt=text, label="borderline", category=rewriter.name, source=RECIPE
    )
    payload = {"rewriter": rewriter.name, "details": dict(details)}
    return Item(seed=seed, recipe=RECIPE, payload=payload)


def _finished(rows: list[dict[str, Any]], batch: Batch) -> dict[str, dict[str, Any]]:
    """Return the rows by item; one that is missing is owed, and no failure to count."""
    found = {row["item_id"]: row for row in rows if row["outcome"] != Outcome.INTERRUPTED}
    if owed := len(batch.items) - len(found):
        raise LookupError(f"{owed} of {len(batch.items)} rewrites of {batch.stage} are owed")
    return found


def _fault(rewriter: Rewriter, row: Mapping[str, Any]) -> str | None:
    """Say why a row holds no rewrite; None where it does.

    A translated reply may well decline: that is what it says, and no fault of the translator.
    """
    if row["outcome"] != Outcome.OK:
        declined = row["outcome"] == Outcome.UNPARSED and _declines(row["raw"] or "")
        return "refused" if declined else str(row["outcome"])
    if rewriter is not BACK_TRANSLATION and _declines(row["answer"]):
        return "refused"
    return "unchanged" if normalize(row["answer"]) == normalize(row["prompt"]) else None


def _declines(text: str) -> bool:
    """Say whether the rewriter declines outright; a persuasive rewrite may well sound moral."""
    found = judge_refusal(text)
    return found.verdict == "refusal" and found.reason in OUTRIGHT


def counted(faults: Iterable[str]) -> dict[str, int]:
    """Return how often each fault occurs, in alphabetical order."""
    return dict(sorted(Counter(faults).items()))
