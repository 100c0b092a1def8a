"""Settings of the examples that hypothesis makes."""

import hypothesis

# How long an example takes says how busy the machine is, nothing else.
hypothesis.settings.register_profile("wharf", deadline=None)
hypothesis.settings.load_profile("wharf")
