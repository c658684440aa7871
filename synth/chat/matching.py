"""Write a short text that a regular expression, a list of choices or a JSON schema allows.

This is how the scripted chat obeys what constrained decoding obeys. It walks the parse tree
of Python's own `re`, and fills repeated character classes with running words, so that the
result looks like prose and not like noise, which is all that libraries for this write. Look-around
and back-references are refused: the grammars that engines constrain with know neither.
"""

import json
import re
import re._constants as op  # pyrefly: ignore[missing-import]
import re._parser as regex_parser  # pyrefly: ignore[missing-import]
import sys
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

_PROSE = (
    "the request asks for something that has to be weighed with care before an answer and "
    "the reply keeps to what is useful while it leaves out what could do harm so that a reader "
    "learns what matters and where to find more"
)
_WORDS = _PROSE.split()
_FALLBACK = "aA0.- \n_,:;()#*+/!?'\"<>[]{}|=&%$@^~`\\\t"
_SLACK_CHARS = 60  # how much longer than its lower bound a repeated class gets at most
_SLACK_GROUPS = 1

_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_ONE_CHAR = (op.IN, op.ANY, op.NOT_LITERAL)

PatternNode = tuple[Any, Any]


def matching_text(pattern: str, random: Random) -> str:
    """Return a text that `pattern` matches in full.

    Raises:
        ValueError: The pattern is no regular expression, or uses what is refused here.
    """
    try:
        tree = regex_parser.parse(pattern)
    except re.error as error:
        raise ValueError(f"regex {pattern!r}: {error}") from error
    text = _sequence(tree, random)
    if re.fullmatch(pattern, text) is None:
        raise ValueError(f"regex {pattern!r}: no matching text was found")
    return text


def matching_json(schema: str, random: Random) -> str:
    """Return JSON text of `schema`: objects, arrays, strings, numbers, enums, local references."""
    root = json.loads(schema)
    return json.dumps(_value(root, root, random), ensure_ascii=False)


def sentence(random: Random, num_words: int = 14) -> str:
    """Return a plain sentence."""
    words = [random.choice(_WORDS) for _ in range(num_words)]
    return f"{' '.join(words).capitalize()}."


def _sequence(nodes: Iterable[PatternNode], random: Random) -> str:
    return "".join(_node(kind, value, random) for kind, value in nodes)


def _node(kind: Any, value: Any, random: Random) -> str:
    if kind is op.LITERAL:
        return chr(value)
    if kind in _ONE_CHAR:
        return _running_text((kind, value), 1, random)
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, nodes = value
        return _repeat(least, most, nodes, random)
    if kind is op.SUBPATTERN:
        return _sequence(value[3], random)
    if kind is op.ATOMIC_GROUP:
        return _sequence(value, random)
    if kind is op.BRANCH:
        return _sequence(random.choice(value[1]), random)
    if kind is op.AT:
        return ""
    raise ValueError(f"regex: {kind} is not supported")


def _repeat(least: int, most: int, nodes: Sequence[PatternNode], random: Random) -> str:
    one_char = len(nodes) == 1 and nodes[0][0] in _ONE_CHAR
    slack = _SLACK_CHARS if one_char else _SLACK_GROUPS
    times = random.randint(least, min(int(most), least + slack))
    if one_char:
        return _running_text(nodes[0], times, random)
    return "".join(_sequence(nodes, random) for _ in range(times))


def _running_text(node: PatternNode, num_chars: int, random: Random) -> str:
    """Fill `num_chars` characters that `node` allows with words, or with what it allows."""
    items = _items(node)
    allowed = re.compile(f"[{''.join(map(_source, items))}]")
    words = sentence(random, num_words=num_chars // 2 + 1)
    text = "".join(allowed.findall(words))[:num_chars]
    if len(text) == num_chars:
        return text
    spare = allowed.search(_FALLBACK) or allowed.search(_edges(items))
    if spare is None:
        raise ValueError("regex: no character was found that a class allows")
    return text + spare.group() * (num_chars - len(text))


def _items(node: PatternNode) -> Sequence[PatternNode]:
    """Return what a class of characters is made of; every node of one character is a class."""
    kind, value = node
    if kind is op.ANY:
        return [(op.NEGATE, None), (op.LITERAL, ord("\n"))]
    if kind is op.NOT_LITERAL:
        return [(op.NEGATE, None), (op.LITERAL, value)]
    return value


def _source(item: PatternNode) -> str:
    """Return how a part of a class is written."""
    kind, value = item
    if kind is op.NEGATE:
        return "^"
    if kind is op.LITERAL:
        return re.escape(chr(value))
    if kind is op.RANGE:
        return "-".join(re.escape(chr(end)) for end in value)
    return _CATEGORIES[value]


def _edges(items: Sequence[PatternNode]) -> str:
    """Return the first character in every part of a class, and the first one after it."""
    ends = [(value, value) for kind, value in items if kind is op.LITERAL]
    ends += [value for kind, value in items if kind is op.RANGE]
    codes = [code for first, last in ends for code in (first, last + 1)]
    return "".join(chr(code) for code in codes if code <= sys.maxunicode)


def _value(schema: Mapping[str, Any], root: Mapping[str, Any], random: Random) -> Any:
    schema = _resolved(schema, root, random)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return random.choice(schema["enum"])
    kind = schema.get("type", "object")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _value(part, root, random) for name, part in properties.items()}
    if kind == "array":
        return [_value(schema["items"], root, random) for _ in range(schema.get("minItems", 1))]
    if kind == "string":
        text = matching_text(schema["pattern"], random) if "pattern" in schema else sentence(random)
        return text[: schema.get("maxLength")]
    if kind in ("integer", "number"):
        least = schema.get("minimum", 0)
        return random.randint(least, schema.get("maximum", least + 9))
    return random.random() < 0.5 if kind == "boolean" else None


def _resolved(
    schema: Mapping[str, Any], root: Mapping[str, Any], random: Random
) -> Mapping[str, Any]:
    """Follow references and alternatives down to a schema that says what it is."""
    while True:
        if "$ref" in schema:
            target = root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target
        elif "anyOf" in schema:
            schema = random.choice(schema["anyOf"])
        else:
            return schema
