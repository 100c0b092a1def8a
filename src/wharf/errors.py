"""The closed set of errors, one class for each thing a caller can do about it.

`api/` maps a class to a status in one table, `cli/` to an exit code. The message is what a person reads: what
failed, on what, why, and what to do; where Docker's clients read the wording it is Docker's.
"""


class WharfError(Exception):
    """Base of all errors that Wharf raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(WharfError):
    """The named thing does not exist (HTTP 404)."""


class Invalid(WharfError):
    """The request or the input is malformed; repeating it cannot help (HTTP 400)."""


class Conflict(WharfError):
    """The state of the thing forbids the request now (HTTP 409)."""


class Denied(WharfError):
    """The request is understood and refused (HTTP 403)."""


class Unauthorized(Denied):
    """Credentials are missing or wrong (HTTP 401)."""


class Unavailable(WharfError):
    """Something that is needed cannot be reached now (HTTP 503)."""


class NotModified(WharfError):
    """The thing is in the requested state already (HTTP 304)."""


class NotImplementedYet(WharfError):
    """The feature is not built (HTTP 501); the message names it."""


class Internal(WharfError):
    """Something failed that should not have (HTTP 500)."""
