"""What all tests share."""

from hypothesis import settings

# Hypothesis's default deadline is a timing assertion, and a shared machine stalls.
settings.register_profile("guideweave", deadline=None)
settings.load_profile("guideweave")
