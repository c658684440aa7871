"""Grades: a reply is one JSON object of whole numbers, one a criterion, or there are none."""

from collections.abc import Sequence

from synth.judges.reading import answer_of, object_of, whole_number


def grade_pattern(criteria: Sequence[str], best: int) -> str:
    """Return the regular expression of such a reply, each grade from 0 to `best`."""
    grade = "|".join(str(number) for number in range(best, -1, -1))
    return r"\{" + ", ".join(rf'"{name}": ({grade})' for name in criteria) + r"\}"


def read_grades(reply: str, criteria: Sequence[str], best: int) -> dict[str, int]:
    """Return the grade of every criterion.

    Raises:
        Doubt: The reply is anything else or more, or a grade is no whole number in its range.
    """
    found = object_of(answer_of(reply), criteria)
    return {name: whole_number(found[name], 0, best) for name in criteria}
