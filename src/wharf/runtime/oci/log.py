"""The log that a caller of an OCI runtime reads its errors from: a line of text or of JSON for each message."""

import datetime
import json
import os
import sys

_LEVELS = ("debug", "info", "warning", "error")


class Log:
    """Where messages go: `path` (standard error when it is empty), in the form `text` or `json`."""

    def __init__(self, path: str = "", form: str = "text", debug: bool = False) -> None:
        self._path, self._form, self._debug = path, form, debug

    @property
    def is_stderr(self) -> bool:
        """Whether people see the messages already."""
        return self._path in ("", "/dev/stderr")

    def write(self, level: str, text: str) -> None:
        """One message. A log that cannot be written is no reason to fail: the text goes to standard error."""
        if level == "debug" and not self._debug:
            return
        line = self._line(level, text)
        if self.is_stderr:
            sys.stderr.write(line)
            return
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                os.write(fd, line.encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)
        except OSError:
            sys.stderr.write(line)

    def fail(self, text: str) -> None:
        """An error: in the log and, when that is a file, on standard error too."""
        self.write("error", text)
        if not self.is_stderr:
            sys.stderr.write(text + "\n")

    def _line(self, level: str, text: str) -> str:
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017
        if self._form == "json":
            return json.dumps({"level": level, "msg": text, "time": now}) + "\n"
        return f'time="{now}" level={level} msg={json.dumps(text)}\n'
