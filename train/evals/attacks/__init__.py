"""Attacks: public, simple and versioned ways to rephrase a prompt.

They measure our own fine-tuned models on phrasings that training never saw, and every one is
applied to benign prompts too: refusing everything that is encoded must not count as safe.
Families after the method paper's held-out ones (2502.04040) and public work; the wordings are
ours. `TRANSFORMS` are rules; `REWRITERS` need a model, see `train.evals.rewrites`.
"""

from train.evals.attacks.base import PLAIN, Transform, plain_reply, wording
from train.evals.attacks.encodings import CIPHERS, ENCODINGS
from train.evals.attacks.formats import COMPLETIONS, FORMATS, FRAMES
from train.evals.attacks.phrasing import NOISES, TENSES
from train.evals.attacks.rewriters import REWRITERS, Rewriter

__all__ = ["PLAIN", "REWRITERS", "TRANSFORMS", "Rewriter", "Transform", "read_reply", "wording"]

TRANSFORMS: dict[str, Transform] = {
    transform.name: transform
    for transform in (*CIPHERS, *ENCODINGS, *TENSES, *FRAMES, *COMPLETIONS, *FORMATS, *NOISES)
}


def read_reply(attack: str, reply: str) -> str | None:
    """Return what a reply says in plain language, or None where it says nothing readable.

    Args:
        attack: Name of the attack it replies to; where none of `TRANSFORMS` is called so, the
            reply is not encoded.
        reply: The answer, as written.
    """
    decode = TRANSFORMS[attack].decode if attack in TRANSFORMS else plain_reply
    return decode(reply)
