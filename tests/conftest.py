"""What all tests share."""

import os

from hypothesis import settings

# Hypothesis's default deadline is a timing assertion, and a shared machine stalls. A person's
# runs look for new examples; an automatic run repeats the same ones, so that it judges the change.
settings.register_profile("guideweave", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("guideweave")
