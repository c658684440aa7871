"""What holds for files of prompts in every format."""

from collections import Counter

from synth.errors import BadInput

MAX_LINE_BYTES = 1 << 20  # of a line, of a row of CSV, and of one text


def distinct_names(path: str, place: str, names: list[str]) -> list[str]:
    """Return column names, refusing any that stands twice."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        rule = "must name each column once"
        raise BadInput(file=path, field=place, value=twice[0], rule=rule)
    return names
