"""What attacks read from files: ready-made rewrites, and a taxonomy of persuasion."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from synth.errors import BadInput
from synth.seeds.files import Row, read_rows
from synth.seeds.near_duplicates import normalize
from train.evals.attacks.config import AttackConfig

NUM_TECHNIQUES = 5  # of the taxonomy, where none is named
_TECHNIQUE, _DEFINITION, _EXAMPLE = "ss_technique", "ss_definition", "ss_example"

_log = logging.getLogger(__name__)


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
    for row in read_rows(path, (_TECHNIQUE, _DEFINITION, _EXAMPLE)):
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
    for row in read_rows(path, (prompt, rewrite)):
        form, text = normalize(_text(path, row, prompt)), _text(path, row, rewrite)
        others += found.setdefault(form, text) != text
    if others:
        _log.warning("%s: %d further rewrites of the same prompts are left out", path, others)
    return found


def _text(path: str, row: Row, column: str) -> str:
    value = row.cells.get(column)
    if not isinstance(value, str) or not value.strip():
        absent = f"no such column beside {', '.join(row.cells)}"
        shown = value if column in row.cells else absent
        field = f"{row.place}: {column}"
        raise BadInput(file=path, field=field, value=shown, rule="must hold text")
    return value
