"""SaRO's texts: what the generator is shown, the form of its replies, and what is read in them."""

from guidelines import GuidelineSet
from synth.prompts import load_text, load_turns, render
from synth.recipes.chains import graft
from synth.recipes.srg import CLOSING, DECISIONS, listed, one_turn, pieces, read_headed
from synth.records import Item, Message, Reply, Seed, Trace

REASONED = ("Request", "Points", "Intent", "Decision", "Answer")  # ours
TURNED = ("Reflection", "Ending", "Answer")  # ours
TURNS = ("Wait", "Hold on", "Stop")  # ours: a reflection opens with one, so that it can be found
PROSE_SHARE, ANSWER_SHARE = 0.22, 0.34  # ours: of the character budget, three prose sections


def reasoning_messages(item: Item, guidelines: GuidelineSet | None) -> list[Message]:
    """Return the conversation that asks for reasoning about a prompt.

    What prompts share stands first, so that prefix caching pays for it once. The worked examples
    begin at another one for each sample: a small model decides like the last it has seen.
    """
    shared = load_turns("saro_reasoning.yaml")["examples"]
    first = 2 * item.sample_index % len(shared)
    examples = [*shared[first:], *shared[:first]]
    return [_system("saro.md", guidelines), *examples, one_turn(item.seed)]


def reflection_messages(seed: Seed, prefix: str, guidelines: GuidelineSet | None) -> list[Message]:
    """Return the conversation that asks to look again at thoughts, given as the model's own."""
    shared = load_turns("saro_reflect.yaml")
    thoughts = Message(role="assistant", content=prefix)
    so_far = [one_turn(seed), thoughts, *shared["notice"]]
    return [_system("saro_reflect.md", guidelines), *shared["examples"], *so_far]


def reasoning_pattern(max_tokens: int) -> str:
    """Return the regular expression of a reply of RW, its lengths fitted to the budget.

    The answer opens as the reply's own decision says.
    """
    prose, declines, helps = pieces(max_tokens, PROSE_SHARE, ANSWER_SHARE)
    heads = "".join(rf"## {name}\n{prose}\n\n" for name in REASONED[:3])
    decline, help_ = DECISIONS
    ends = rf"{decline}\n\n## Answer\n{declines}|{help_}\n\n## Answer\n{helps}"
    return rf"{heads}## Decision\n({ends})"


def reflection_pattern(max_tokens: int) -> str:
    """Return the regular expression of a reflection: it opens with a turn, and it declines."""
    prose, declines, _ = pieces(max_tokens, PROSE_SHARE, ANSWER_SHARE)
    turn = rf"({'|'.join(TURNS)}), {prose}"
    return rf"## Reflection\n{turn}\n\n## Ending\nSo I will not {prose}\n\n## Answer\n{declines}"


def read_reasoning(reply: Reply) -> Trace | None:
    """Return the trace of a reply of RW, or None where `read_headed` reads none."""
    if (sections := read_headed(reply, REASONED)) is None:
        return None
    decision = sections["Decision"]
    thought = [sections[name] for name in REASONED[:3]]
    return Trace(
        reasoning="\n\n".join([*thought, CLOSING[decision]]),
        answer=sections["Answer"],
        raw=reply.text,
        payload={"decision": decision, "sections": sections},
    )


def read_reflection(reply: Reply, *, prefix: str, index: int) -> Trace | None:
    """Return the chain that turns after `prefix`, its first `index` steps; None as above."""
    if (sections := read_headed(reply, TURNED)) is None:
        return None
    return Trace(
        reasoning=graft(prefix, sections["Reflection"], sections["Ending"]),
        answer=sections["Answer"],
        raw=reply.text,
        payload={"index": index, "sections": sections},
    )


def _system(prompt_file: str, guidelines: GuidelineSet | None) -> Message:
    assert guidelines is not None, "saro is a guided recipe"
    texts = listed(guideline.text for guideline in guidelines.guidelines)
    return Message(role="system", content=render(load_text(prompt_file), guidelines=texts))
