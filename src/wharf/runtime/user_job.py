"""The job that looks a user up in a running container, so that a wrong name is refused before an exec is made.

Standard library only: workers are forked from the launcher.
"""

from typing import Any

from wharf.errors import Invalid
from wharf.kernel import namespaces
from wharf.runtime import users
from wharf.runtime.worker import Job


def find_user(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """`user` and `groups` as in an exec, looked up in the mount namespace fds[0]. Raises Invalid, Docker's words."""
    namespaces.setns(fds[0], namespaces.CLONE_NEWNS)
    try:
        found = users.resolve(args["user"], args["groups"])
    except users.UnknownUser as error:
        raise Invalid(str(error)) from None
    return {"uid": found.uid, "gid": found.gid}


JOBS: dict[str, Job] = {"user.find": find_user}
