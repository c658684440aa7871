"""A reward that tells finished turns apart, whatever they say."""

from synth.chat import Chat
from synth.recipes.trees.reward import Finished, Ratings
from synth.records import Sampling, digest


async def by_words(finished: Finished, chat: Chat, sampling: Sampling) -> Ratings:
    """Rate one half of all turns as safe and the other as unsafe, by a digest."""
    safe = int(digest(finished.text), 16) % 2 == 0
    return Ratings(1.0 if safe else -1.0, 0.0)
