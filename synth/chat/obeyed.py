"""Whether a reply keeps to what it was asked to keep to.

A server that takes a grammar and ignores it answers fluently, and its rows would only be worse.
"""

import json
import re
from functools import lru_cache

from jsonschema import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from synth.records import Reply, Sampling


def disobeyed(reply: Reply, sampling: Sampling) -> str | None:
    """Return what `reply` does not keep to, or None. A text cut by its length is not judged."""
    if sampling.logprobs is not None and reply.text and not reply.logprobs:
        return "it came without the log-probabilities asked for"
    if reply.finish_reason == "length":
        return None
    if sampling.regex is not None and re.fullmatch(sampling.regex, reply.text) is None:
        return "its text does not match the regular expression asked for"
    if sampling.choice is not None and reply.text not in sampling.choice:
        return "its text is none of the choices given"
    if sampling.json_schema is not None:
        return _schema_fault(reply.text, sampling.json_schema)
    return None


def _schema_fault(text: str, schema: str) -> str | None:
    try:
        _validator(schema).validate(json.loads(text))
    except json.JSONDecodeError:
        return "its text is no JSON"
    except ValidationError as error:
        return f"its text is not of the JSON schema asked for: {error.message}"
    return None


@lru_cache(maxsize=64)
def _validator(schema: str) -> Validator:
    parsed = json.loads(schema)
    return validator_for(parsed)(parsed)
