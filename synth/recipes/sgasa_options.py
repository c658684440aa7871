"""What a configuration may choose of SGASA; the defaults are the published constants."""

from typing import Annotated, ClassVar

from pydantic import Field

from synth.config.schema import Positive, Strict
from synth.recipes.base import Options


class PerLabel(Strict):
    """A number for each label: equal ones are a ratio of 1 to 1.

    Attributes:
        harmful: Of harmful prompts.
        benign: Of benign ones.
    """

    harmful: Positive
    benign: Positive


class SgasaOptions(Options):
    """The options of SGASA. Every quota stands beside what it may cost at most.

    Attributes:
        examples: Seeds of each label that the method starts from: the first of the run's training
            seeds in the order of their ids, of one turn each. Further seeds are not used.
        guidelines: Verified guidelines wanted.
        guideline_tries: Guidelines written at most.
        verify_share: Least share of the examples that must be answered as their label asks for a
            guideline to count as verified.
        shown: Examples shown at most when a prompt is asked for.
        prompts: Kept prompts wanted.
        prompt_tries: Prompts of each label that are asked for at most.
        responses: Answers sampled of one prompt.
        answer_tries: How often a prompt is answered at most, by each of the two samplings, while
            it has given nothing and the quota is not met.
        sft: Prompts wanted that give a row of SFT. The last round of tries may bring a few more:
            rows beyond both numbers together are left out, mostly of the label that has more.
        dpo: Prompts wanted that give a pair.
        temperature: Of every call.
        max_tokens: Of every call; `sampling.max_tokens` of the run where that is less.
        native_thought: The target marks its reasoning by itself. Then it is asked plainly, as in
            the paper; any other target is shown how to answer, and constrained.
        refusal_words: An answer with any of these declines, as in the paper; where empty, the
            rule refusal judge says whether it does.
        forbid_naming: Keep no trace that speaks of guidelines, which its student never sees.
    """

    PLAN_ONLY: ClassVar[frozenset[str]] = frozenset(
        ("guidelines", "guideline_tries", "prompts", "prompt_tries", "answer_tries", "sft", "dpo")
    )

    examples: Positive = 5  # paper: five harmful and five benign
    guidelines: Positive = 10  # paper: verified
    guideline_tries: Positive = 100  # ours
    verify_share: Annotated[float, Field(gt=0, le=1)] = 1.0  # ours: it says that they are verified
    shown: Positive = 3  # ours
    prompts: PerLabel = PerLabel(harmful=2500, benign=2500)  # ours: all that are kept
    prompt_tries: Positive = 2500  # paper: about 5,000 of both labels
    responses: Positive = 4  # ours: it says several
    answer_tries: Positive = 1  # ours
    sft: PerLabel = PerLabel(harmful=250, benign=250)  # paper: taken
    dpo: PerLabel = PerLabel(harmful=100, benign=100)  # paper: 3 to 5 and 5 to 3 are its ablations
    temperature: Annotated[float, Field(ge=0)] = 0.6  # paper: all sampling
    max_tokens: Positive = 2048  # paper: greatest length
    native_thought: bool = False  # ours: the paper's models have it
    refusal_words: tuple[str, ...] = ()  # ours: the paper gives only some of its words
    forbid_naming: bool = False  # paper: no such filter
