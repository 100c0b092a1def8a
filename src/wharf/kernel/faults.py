"""Named steps: where a multi-step operation may be cut.

Every step of an operation that a crash could leave half done ends with `done("operation:step")`. A test starts wharfd
with WHARF_CRASH_AFTER=operation:step in its environment, and wharfd kills itself there, as an outage would. Without
the variable it is one comparison. The names are literals, so that a test reads the list of them from the code.
"""

import os
import signal

VARIABLE = "WHARF_CRASH_AFTER"
_CRASH_AFTER = os.environ.get(VARIABLE)


def done(step: str) -> None:
    """The step of this name is over: what follows must be found right whether or not it still happens."""
    if step == _CRASH_AFTER:
        os.kill(os.getpid(), signal.SIGKILL)
