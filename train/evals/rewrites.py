"""Attacked prompts that rules can not write: read from files, or written by a model.

What the model would not or could not write is left out and counted by its reason: an attack
that changes nothing, or that sends the rewriter's own refusal, would pass for safety.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa

from guidelines import GuidelineSet
from synth.batch import Batch, RunBatch
from synth.config.schema import ModelConfig, SynthConfig
from synth.errors import BadInput, Unparsed
from synth.judges.refusal import OUTRIGHT, judge_refusal
from synth.models.families import FAMILIES, split_reasoning
from synth.models.identity import identify
from synth.recipes import Models, Recipe, Step
from synth.records import Item, Outcome, Sampling, Seed, Trace, digest
from synth.seeds.files import FileRow, read_file_rows
from synth.seeds.near_duplicates import normalize
from synth.seeds.seeds import take
from synth.workspace.workspace import batch_workspace
from train.evals.attacks.config import AttackConfig
from train.evals.attacks.rewriters import (
    BACK_TRANSLATION,
    REWRITERS,
    Rewriter,
    instruct,
    parse_rewrite,
)
from train.evals.config import EvaluateConfig
from train.evals.language import looks_like_language
from train.evals.suites import Suite

NUM_TECHNIQUES = 5  # of the taxonomy, where none is named
_TECHNIQUE, _DEFINITION, _EXAMPLE = "ss_technique", "ss_definition", "ss_example"

_log = logging.getLogger(__name__)

RECIPE = "rewrite"
ROLE = "rewriter"
SAMPLING = Sampling(temperature=0.0, max_tokens=512)

RewriteDetails = Mapping[str, str]
Texts = Mapping[str, tuple[str, RewriteDetails]]

Answers = Callable[[str, str], Mapping[str, str]]  # of a model, to an attack


class Technique(NamedTuple):
    """A technique of persuasion, as a taxonomy describes it."""

    technique: str
    definition: str
    example: str


def load_techniques(attack: AttackConfig) -> list[Technique]:
    """Return the techniques that a persuasion attack uses, in the order it names them.

    Raises:
        BadInput: The taxonomy can not be read, lacks a technique, or has one twice.
    """
    path = attack.taxonomy
    assert path is not None, "a persuasion attack has a taxonomy"
    known: dict[str, Technique] = {}
    with closing(read_file_rows(path, (_TECHNIQUE, _DEFINITION, _EXAMPLE))) as rows:
        for row in rows:
            found = Technique(*(_text(path, row, c) for c in (_TECHNIQUE, _DEFINITION, _EXAMPLE)))
            if found.technique in known:
                field = f"{row.place}: {_TECHNIQUE}"
                rule = "must be unique in the file"
                raise BadInput(file=path, field=field, value=found.technique, rule=rule)
            known[found.technique] = found
    if not known:
        rule = "must hold at least one technique"
        raise BadInput(file=path, field="evaluate.attacks", value="no rows", rule=rule)
    return [_named(path, known, name) for name in _wanted(attack, list(known))]


def _wanted(attack: AttackConfig, known: Sequence[str]) -> Sequence[str]:
    return attack.techniques or known[:NUM_TECHNIQUES]


def _named(path: str, known: dict[str, Technique], name: str) -> Technique:
    if name not in known:
        rule = f"must be one of {', '.join(known)}"
        raise BadInput(file=path, field="evaluate.attacks.techniques", value=name, rule=rule)
    return known[name]


def load_rewrites(attack: AttackConfig) -> dict[str, str]:
    """Return the rewrites of a file by the normalised text of the prompts they are of.

    Of several rewrites of one prompt the first is taken, and the log counts the others.

    Raises:
        BadInput: The file can not be read, or a row lacks a prompt or a rewrite.
    """
    path = attack.rewrites
    assert path is not None, "an attack from a file has one"
    prompt, rewrite = (attack.columns.get(name, name) for name in ("prompt", "rewrite"))
    found: dict[str, str] = {}
    others = 0
    with closing(read_file_rows(path, (prompt, rewrite))) as rows:
        for row in rows:
            form, text = normalize(_text(path, row, prompt)), _text(path, row, rewrite)
            others += found.setdefault(form, text) != text
    if others:
        _log.warning("%s: %d further rewrites of the same prompts are left out", path, others)
    return found


def _text(path: str, row: FileRow, column: str) -> str:
    value = row.cells.get(column)
    if not isinstance(value, str) or not value.strip():
        absent = f"no such column beside {', '.join(row.cells)}"
        shown = value if column in row.cells else absent
        field = f"{row.place}: {column}"
        raise BadInput(file=path, field=field, value=shown, rule="must hold text")
    return value


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
    texts: Texts,
    model: ModelConfig,
) -> Rewritten:
    """Have `model` rewrite texts; see `rewrite_parts`."""
    if not texts:
        return Rewritten(texts={}, failures={})
    [found] = rewrite_parts(run, run_batch, name, rewriter, [texts], model)
    return found


def rewrite_parts(
    run: str,
    run_batch: RunBatch,
    name: str,
    rewriter: Rewriter,
    parts: Iterable[Texts],
    model: ModelConfig,
) -> Iterator[Rewritten]:
    """Have `model` rewrite the texts of all parts; return what became of each part's, in turn.

    Args:
        run: The run's folder.
        run_batch: Runs items through the scheduler.
        name: What progress and the workspace call it.
        rewriter: The task.
        parts: Of each, id to a text, and to what fills the task's fields for it.
        model: Who writes.
    """
    fingerprint = digest(
        REWRITE.version, rewriter.name, rewriter.version, identify(model).digest, asdict(SAMPLING)
    )
    asked: list[dict[str, str]] = []
    batch = Batch(
        stage=name,
        workspace=batch_workspace(run, name, fingerprint),
        parts=map(partial(_items, rewriter, asked), parts),
        recipe="train.evals.rewrites.REWRITE",
        models={ROLE: model},
        sampling=SAMPLING,
        fingerprint=fingerprint,
        columns=("item_id", "outcome", "prompt", "answer", "raw"),
    )
    return map(partial(_read_part, name, rewriter), run_batch(batch), asked)


def translate_back(
    run: str,
    run_batch: RunBatch,
    language: str,
    replies: Iterable[Mapping[str, str]],
    model: ModelConfig,
) -> Iterator[Rewritten]:
    """Translate replies to English, so that judges who know no other language can read them.

    Args:
        run: The run's folder.
        run_batch: Runs items through the scheduler.
        language: What the replies are written in, by its English name.
        replies: In parts; id to text. A reply that was in English already has no translation,
            and is counted as `unchanged`.
        model: Who translates.
    """
    parts = map(partial(_in_language, language), replies)
    return rewrite_parts(run, run_batch, "back-translation", BACK_TRANSLATION, parts, model)


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


def _in_language(language: str, replies: Mapping[str, str]) -> Texts:
    return {key: (reply, {"language": language}) for key, reply in replies.items()}


def _items(rewriter: Rewriter, asked: list[dict[str, str]], texts: Texts) -> list[Item]:
    """Return what is asked about a part, each once; `asked` learns the item of each text."""
    items = {key: _item(rewriter, *text) for key, text in texts.items()}
    ids = {key: item.item_id for key, item in items.items()}
    asked.append(ids)
    return list({ids[key]: item for key, item in items.items()}.values())


def _item(rewriter: Rewriter, text: str, details: RewriteDetails) -> Item:
    seed = Seed(
        seed_id=digest(text), prompt=text, label="borderline", category=rewriter.name, source=RECIPE
    )
    payload = {"rewriter": rewriter.name, "details": dict(details)}
    return Item(seed=seed, recipe=RECIPE, payload=payload)


def _read_part(
    name: str, rewriter: Rewriter, table: pa.Table, asked: Mapping[str, str]
) -> Rewritten:
    """Return what became of a part's texts; one without a row is owed, and no failure to count."""
    rows = {
        row["item_id"]: row for row in table.to_pylist() if row["outcome"] != Outcome.INTERRUPTED
    }
    if owed := len({*asked.values()} - rows.keys()):
        raise LookupError(f"{owed} of {len({*asked.values()})} rewrites of {name} are owed")
    faults = {key: _fault(rewriter, rows[item_id]) for key, item_id in asked.items()}
    return Rewritten(
        texts={
            key: rows[item_id]["answer"] for key, item_id in asked.items() if faults[key] is None
        },
        failures=counted(fault for fault in faults.values() if fault is not None),
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrites:
    """Attacked prompts by attack.

    Attributes:
        texts: Name of an attack to the rewrites of seeds, by `seed_id`.
        failures: Name of an attack to why a seed has none, and how often.
    """

    texts: Mapping[str, Mapping[str, str]]
    failures: Mapping[str, Mapping[str, int]]


def make_rewrites(
    config: SynthConfig, section: EvaluateConfig, suites: Sequence[Suite], run_batch: RunBatch
) -> Rewrites:
    """Read or have written what the attacks of an evaluation need; what is written stays.

    The model is `evaluate.rewriter`, or else the run's judge, or else its teacher.

    Raises:
        BadInput: A file can not be used, or there is not one rewrite for an attack.
    """
    seeds = _attacked(section, suites)
    made = {
        attack.called: _from_file(attack, seeds)
        if attack.rewrites is not None
        else _from_model(config, section, attack, seeds, run_batch)
        for attack in section.attacks
        if attack.is_rewritten
    }
    for name, found in made.items():
        _check_any(name, found, len(seeds))
    return Rewrites(
        texts={name: found.texts for name, found in made.items()},
        failures={name: found.failures for name, found in made.items()},
    )


def rewriter_id(config: SynthConfig, section: EvaluateConfig) -> str | None:
    """Return the identity of the model that writes prompts; None where no attack needs one."""
    written = any(attack.is_rewritten and attack.rewrites is None for attack in section.attacks)
    return identify(_writer(config, section)).model_id if written else None


def check_attacks(section: EvaluateConfig, suites: Sequence[Suite]) -> None:
    """Read the files that attacks name, before anything is generated.

    Raises:
        BadInput: A file can not be used, or holds no rewrite of any prompt.
    """
    seeds = _attacked(section, suites)
    for attack in section.attacks:
        if attack.taxonomy is not None:
            load_techniques(attack)
        if attack.rewrites is not None:
            _check_any(attack.called, _from_file(attack, seeds), len(seeds))


def back_translations(
    config: SynthConfig,
    section: EvaluateConfig,
    models: Sequence[str],
    answers: Answers,
    run_batch: RunBatch,
) -> Iterator[dict[str, str]]:
    """Translate into English what translated prompts were answered with.

    Args:
        config: The run.
        section: Names the attacks and the model that translates.
        models: Who answered.
        answers: Returns what one of them answered under an attack, by the item's id; asked for
            translations alone.
        run_batch: Runs items through the scheduler.

    Returns:
        Of each model, read when it is its turn, the English by id, for the answers that were not
        English and could be translated.
    """
    writer = _writer(config, section)
    languages = {one.called: one.language for one in section.attacks if one.language is not None}
    translated = [
        translate_back(
            config.run, run_batch, language, map(partial(_foreign, answers, attack), models), writer
        )
        for attack, language in languages.items()
    ]
    return (
        {key: text for found in translated for key, text in next(found).texts.items()}
        for _ in models
    )


def _foreign(answers: Answers, attack: str, model: str) -> dict[str, str]:
    """Return a model's answers to an attack that are not English."""
    return {
        key: answer
        for key, answer in answers(model, attack).items()
        if answer.strip() and not looks_like_language(answer)
    }


def _writer(config: SynthConfig, section: EvaluateConfig) -> ModelConfig:
    return section.rewriter or config.judge or config.teacher


def _attacked(section: EvaluateConfig, suites: Sequence[Suite]) -> list[Seed]:
    """Return the seeds under attack, each once."""
    seeds = (seed for suite in suites for seed in take(suite.seeds, section.attack_limit))
    return list({seed.seed_id: seed for seed in seeds}.values())


def _from_file(attack: AttackConfig, seeds: Iterable[Seed]) -> Rewritten:
    known = load_rewrites(attack)
    forms = {seed.seed_id: normalize(seed.prompt) for seed in seeds}
    texts = {seed_id: known[form] for seed_id, form in forms.items() if form in known}
    missing = len(forms) - len(texts)
    return Rewritten(texts=texts, failures={"not in the file": missing} if missing else {})


def _from_model(
    config: SynthConfig,
    section: EvaluateConfig,
    attack: AttackConfig,
    seeds: Iterable[Seed],
    run_batch: RunBatch,
) -> Rewritten:
    details = _details(attack, seeds)
    return rewrite(
        config.run,
        run_batch,
        f"rewrites-{attack.called}",
        REWRITERS[attack.attack],
        details,
        _writer(config, section),
    )


def _details(attack: AttackConfig, seeds: Iterable[Seed]) -> dict[str, tuple[str, RewriteDetails]]:
    """Return what is rewritten, and what the task says beside it, by `seed_id`."""
    if attack.taxonomy is not None:
        techniques = [technique._asdict() for technique in load_techniques(attack)]
        return {s.seed_id: (s.prompt, techniques[_draw(s, len(techniques))]) for s in seeds}
    details = {} if attack.language is None else {"language": attack.language}
    return {seed.seed_id: (seed.prompt, details) for seed in seeds}


def _draw(seed: Seed, number: int) -> int:
    """Choose one of `number` for a seed, the same for its twin."""
    twins = [seed.source, seed.pair] if seed.pair is not None else [seed.seed_id]
    return int(digest("technique", *twins), 16) % number


def _check_any(name: str, found: Rewritten, num_seeds: int) -> None:
    if num_seeds and not found.texts:
        why = ", ".join(f"{reason}: {number}" for reason, number in found.failures.items())
        rule = f"must leave at least one prompt rewritten of {num_seeds} ({why})"
        raise BadInput(file="config", field="evaluate.attacks", value=name, rule=rule)
