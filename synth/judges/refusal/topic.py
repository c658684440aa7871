"""Whether an answer has nothing to do with its prompt, told from the words that both hold."""

from synth.judges.reading import words

MIN_ANSWER_WORDS = 60  # a short answer may well be right without a word of the question
STEM_CHARS = 5  # `meditate` and `meditation` begin alike, as words of one family do

# Words that a prompt is made of and that say nothing of its topic.
_TASK_WORDS = frozenset({
    "a", "about", "above", "after", "again", "against", "all", "also", "am", "an", "and", "any",
    "are", "as", "at", "be", "because", "been", "before", "being", "below", "best", "between",
    "both", "but", "by", "can", "could", "create", "define", "describe", "did", "do", "does",
    "doing", "done", "down", "each", "easily", "effective", "ever", "every", "example",
    "examples", "explain", "few", "find", "for", "from", "generate", "get", "give", "go", "good",
    "had", "has", "have", "having", "help", "her", "here", "him", "his", "how", "i", "if", "in",
    "into", "is", "it", "its", "just", "kind", "know", "known", "let", "like", "list", "main",
    "make", "making", "many", "may", "me", "might", "more", "most", "much", "must", "my", "need",
    "new", "no", "nor", "not", "now", "of", "off", "on", "once", "one", "only", "or", "other",
    "our", "out", "over", "own", "people", "please", "popular", "provide", "same", "say", "short",
    "should", "show", "simple", "since", "so", "some", "someone", "something", "steps", "such",
    "suggest", "summarize", "tell", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "thing", "things", "think", "this", "those", "through", "tips", "to", "too",
    "type", "up", "us", "use", "used", "using", "very", "want", "was", "way", "ways", "we",
    "well", "were", "what", "when", "where", "which", "while", "who", "whom", "why", "will",
    "with", "without", "work", "would", "write", "you", "your",
})  # fmt: skip


def is_off_topic(answer: str, prompt: str) -> bool:
    """Say whether a long answer holds no word of the prompt's topic, inflected or not."""
    topic = {_stem(word) for word in words(prompt) if word not in _TASK_WORDS and word.isalpha()}
    said = words(answer)
    if not topic or len(said) < MIN_ANSWER_WORDS:
        return False
    return topic.isdisjoint(map(_stem, said))


def _stem(word: str) -> str:
    stem = word.removesuffix("s") if len(word) > 3 else word
    return stem[:STEM_CHARS]
