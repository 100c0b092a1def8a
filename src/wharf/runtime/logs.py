"""The log that a monitor writes: of either form, from what wharfd asks for."""

from typing import Any, Protocol

from wharf.runtime import jsonlog, locallog
from wharf.runtime.jsonlog import JsonLog
from wharf.runtime.locallog import LocalLog
from wharf.runtime.rotation import RotatingFile


class Log(Protocol):
    """A writer of records over a rotating file."""

    file: RotatingFile

    def write(self, stream: bytes, runs: list[bytes], now_ns: int) -> None:
        """Append the records of `runs` (LineSplitter's), all of one time; what cannot be written is dropped."""


def open_log(settings: dict[str, Any]) -> Log:
    """`settings`: requests.LogSettings as a dict, `extra` as JSON. Raises OSError when the file cannot be opened."""
    local = settings.get("form") == "local"
    (locallog if local else jsonlog).mend(settings["path"])
    file = RotatingFile(
        settings["path"],
        settings.get("max_size", -1),
        settings.get("max_file", 1),
        settings.get("compress", False),
        settings.get("guarded", False),
    )
    return LocalLog(file) if local else JsonLog(file, settings.get("extra", "").encode())
