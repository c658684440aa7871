"""The chat that needs no model: tests, `--dry-run`, and a first look at a recipe.

A script is a list of replies in turn, or a function of the call. It obeys `stop` and
`max_tokens` as an engine would, where a token is a word. A number is a scoring model's.
"""

import asyncio
import inspect
import pkgutil
import re
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from synth.chat import ChatSpec
from synth.chat.matching import matching_json, matching_text, sentence
from synth.config.schema import ModelConfig
from synth.errors import BadInput
from synth.records import ABILITIES, Ability, Message, Reply, Sampling, digest

PLAUSIBLE = "synth.chat.scripted:plausible"
PLAUSIBLE_SCORE = "synth.chat.scripted:plausible_score"

Written = str | float | Reply
ScriptFunction = Callable[[Sequence[Message], Sampling], Written | Awaitable[Written]]
Script = Sequence[Written] | ScriptFunction


class ScriptedChat:
    """A `Chat` that answers from a script.

    Attributes:
        can: Abilities.
        num_calls: How often it was asked.
    """

    def __init__(self, script: Script, can: frozenset[Ability] = ABILITIES) -> None:
        self.can = can
        self.num_calls = 0
        self._script = script

    async def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Complete `messages` with what the script says; whatever it raises is raised.

        Raises:
            IndexError: A list of replies is used up.
        """
        self.num_calls += 1
        written = await self._next(messages, sampling)
        if isinstance(written, Reply):
            return written
        return _reply(written, messages, sampling)

    async def _next(self, messages: Sequence[Message], sampling: Sampling) -> Written:
        if not callable(self._script):
            if self.num_calls > len(self._script):
                raise IndexError(f"the script has no reply after its {len(self._script)}")
            return self._script[self.num_calls - 1]
        written = self._script(messages, sampling)
        if inspect.isawaitable(written):
            return await written
        await asyncio.sleep(0)  # a call gives way, as a real one does
        return written


def scripted_chat(spec: ChatSpec) -> ScriptedChat:
    """Open the chat whose script is named `module:function` in `spec`."""
    return ScriptedChat(load_script(spec.script), spec.can)


def script_of(model: ModelConfig) -> str:
    """Return the dotted path of a scripted model's script."""
    default = PLAUSIBLE_SCORE if model.head == "score" else PLAUSIBLE
    return str(model.engine_args.get("script", default))


def load_script(path: str) -> ScriptFunction:
    """Import the function that `module:function` names.

    Raises:
        BadInput: There is no such function.
    """
    try:
        function = pkgutil.resolve_name(path)
    except (ImportError, ValueError, AttributeError) as error:
        raise _no_script(path) from error
    if not callable(function):
        raise _no_script(path)
    return function


def plausible(messages: Sequence[Message], sampling: Sampling) -> str:
    """Write what `sampling` allows, the same text for the same call; else a plain sentence."""
    asked = [[m["role"], m["content"]] for m in messages]
    constraint = [sampling.regex, sampling.choice, sampling.json_schema]
    random = Random(digest(asked, constraint))
    if sampling.choice is not None:
        return random.choice(sampling.choice)
    if sampling.regex is not None:
        return matching_text(sampling.regex, random)
    if sampling.json_schema is not None:
        return matching_json(sampling.json_schema, random)
    return sentence(random)


def plausible_score(messages: Sequence[Message], sampling: Sampling) -> float:
    """Return a number between -1 and 1, the same one for the same conversation."""
    return Random(digest([[m["role"], m["content"]] for m in messages])).uniform(-1, 1)


def _no_script(path: str) -> BadInput:
    return BadInput(
        file="config", field="script", value=path, rule="must name a function, module:function"
    )


def _reply(written: str | float, messages: Sequence[Message], sampling: Sampling) -> Reply:
    prompt_tokens = sum(len(m["content"].split()) for m in messages)
    if not isinstance(written, str):
        return Reply(text="", prompt_tokens=prompt_tokens, score=written)
    text = _cut_at_stop(written, sampling)
    words = list(re.finditer(r"\S+", text))
    cut = len(words) > sampling.max_tokens
    if cut:
        words = words[: sampling.max_tokens]
        text = text[: words[-1].end()]
    certain = tuple({word.group(): 0.0} for word in words)
    return Reply(
        text=text,
        finish_reason="length" if cut else "stop",
        prompt_tokens=prompt_tokens,
        output_tokens=len(words),
        logprobs=None if sampling.logprobs is None else certain,
    )


def _cut_at_stop(text: str, sampling: Sampling) -> str:
    found = [(text.index(stop), stop) for stop in sampling.stop if stop in text]
    if not found:
        return text
    position, stop = min(found)
    return text[: position + len(stop) * sampling.keep_stop]
