"""The one table from errors to statuses, and the shape of an error body."""

import errno
import logging
import os

from wharf import errors
from wharf.api.http import Reply
from wharf.wire.codec import dumps

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (errors.NotModified, 304),
    (errors.NotFound, 404),
    (errors.Invalid, 400),
    (errors.Conflict, 409),
    (errors.Unauthorized, 401),
    (errors.Denied, 403),
    (errors.Unavailable, 503),
    (errors.NotImplementedYet, 501),
    (errors.Internal, 500),
)
"""First match wins: a subclass stands before its base."""

_WANT = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOMEM, errno.EAGAIN)
"""Something of the host's is used up: no mistake of ours that a stack trace would show."""
log = logging.getLogger("wharf.api")


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; 500 for whatever is not in the table."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def message_of(error: BaseException) -> str:
    """What a person reads."""
    if isinstance(error, OSError) and error.errno:
        text = os.strerror(error.errno).lower()
        return f"{text}: {error.filename}" if error.filename else text
    return str(error) or type(error).__name__


def reply_for(error: BaseException, what: str) -> Reply:
    """The answer for a failed request; `what` names it in the log when the failure is ours."""
    status = status_of(error)
    if isinstance(error, OSError) and error.errno in _WANT:
        log.warning("%s: %s", what, message_of(error))
    elif not isinstance(error, errors.WharfError):
        log.error("%s failed", what, exc_info=error)
    elif status >= 500:
        log.warning("%s: %s", what, error)
    if status == 304:
        return Reply(304)
    return Reply(status, dumps({"message": message_of(error)}) + b"\n")
