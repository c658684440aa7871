"""Written guidelines and worked exemplars, and the loader that checks them.

A *guideline set* is a folder of Markdown files that are put, verbatim and together, into one
teacher prompt. Sets that ship with the project are released: their bytes stand in `lock.json`.
The wording of every shipped text is this project's own.
"""

from guidelines.errors import BadInput
from guidelines.loader import Exemplar, Guideline, GuidelineSet, load_guidelines
from guidelines.released import write_lock

__all__ = ["BadInput", "Exemplar", "Guideline", "GuidelineSet", "load_guidelines", "write_lock"]
