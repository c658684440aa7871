"""The attacked prompts that rules can not write, for every attack that needs them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from synth.batch import RunBatch
from synth.config.schema import ModelConfig, SynthConfig
from synth.digest import digest
from synth.errors import BadInput
from synth.models.identity import identify
from synth.records import Seed
from synth.seeds.near_duplicates import normalize
from synth.seeds.seeds import take
from train.evals.attacks.config import AttackConfig
from train.evals.attacks.rewrite_files import load_rewrites, load_techniques
from train.evals.attacks.rewriters import REWRITERS
from train.evals.attacks.rewrites import Details, Rewritten, rewrite, translate_back
from train.evals.config import EvaluateConfig
from train.evals.language import looks_like_language
from train.evals.suites_suites import Suite


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
    answers: Mapping[str, Mapping[str, str]],
    run_batch: RunBatch,
) -> dict[str, str]:
    """Translate into English what translated prompts were answered with.

    Args:
        config: The run.
        section: Names the attacks and the model.
        answers: Name of an attack to its answers by id; only translations are looked at.
        run_batch: Runs items through the scheduler.

    Returns:
        The English by id, for the answers that were not English and could be translated.
    """
    english: dict[str, str] = {}
    for attack in section.attacks:
        if attack.language is not None:
            foreign = {
                key: answer
                for key, answer in answers.get(attack.called, {}).items()
                if answer.strip() and not looks_like_language(answer)
            }
            model = _writer(config, section)
            english |= translate_back(config.run, run_batch, attack.language, foreign, model).texts
    return english


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


def _details(attack: AttackConfig, seeds: Iterable[Seed]) -> dict[str, tuple[str, Details]]:
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
