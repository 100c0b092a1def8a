"""Where a project comes from: its files, its directory, its name and the variables around it (Compose's precedence)."""

import os
import re
import sys
from collections.abc import Callable, Mapping

from wharf.compose.dotenv import parse_variables
from wharf.compose.places import refuse_remote
from wharf.compose.record import Record, field
from wharf.errors import Invalid

_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = ("compose.override.yml", "compose.override.yaml", "docker-compose.override.yml",
              "docker-compose.override.yaml")  # fmt: skip
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class Request(Record):
    """What a command line or a caller asks for; empty means: by the rules."""

    files: list[str] = field(default_factory=list)
    project_directory: str = ""
    project_name: str = ""
    env_files: list[str] = field(default_factory=list)
    profiles: list[str] = field(default_factory=list)
    environment: Mapping[str, str] | None = None
    """The variables of the process when None."""


class Sources(Record):
    """What was found."""

    files: list[str]
    directory: str
    environment: dict[str, str]
    env_files: list[str]
    profiles: list[str]
    name: str
    """Given by the caller or the environment, else empty."""
    warnings: list[str]
    texts: dict[str, bytes] = field(default_factory=dict)
    """The files' contents, by name, as far as they are read."""

    def read(self, path: str) -> bytes:
        """A file's bytes (read once); raises Invalid."""
        if path not in self.texts:
            self.texts[path] = read_file(path)
        return self.texts[path]


def read_file(path: str) -> bytes:
    """A file, or standard input for `-`; raises Invalid with Go's words."""
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        verb = "read" if isinstance(error, IsADirectoryError) else "open"
        raise Invalid(f"{verb} {path}: {(error.strerror or '').lower()}") from None


def find_sources(request: Request) -> Sources:
    """The files and their surroundings; raises Invalid when a named one is missing. No file at all is no error yet."""
    environment = dict(os.environ if request.environment is None else request.environment)
    environment.setdefault("PWD", os.getcwd())
    finder = _Finder(request, environment)
    finder.add_env_files()
    finder.find_files()
    finder.add_env_files()
    profiles = request.profiles or [item.strip() for item in environment.get("COMPOSE_PROFILES", "").split(",")]
    return Sources(
        finder.files,
        finder.directory(),
        environment,
        finder.env_files,
        profiles,
        request.project_name or environment.get("COMPOSE_PROJECT_NAME", ""),
        finder.warnings,
    )


class _Finder:
    def __init__(self, request: Request, environment: dict[str, str]) -> None:
        self._request = request
        self._environment = environment
        self.files = list(request.files)
        self.env_files: list[str] = []
        self.warnings: list[str] = []

    def directory(self) -> str:
        if self._request.project_directory:
            return os.path.abspath(self._request.project_directory)
        first = next((file for file in self.files if file != "-"), None)
        return os.path.dirname(os.path.abspath(first)) if first else os.getcwd()

    def add_env_files(self) -> None:
        """`--env-file`, else `.env` of the project's directory; what the process has wins."""
        given = self._request.env_files
        if given:
            self.env_files = [os.path.abspath(file) for file in given]
        elif not _switch(self._environment.get("COMPOSE_DISABLE_ENV_FILE")):
            default = os.path.join(self.directory(), ".env")
            if os.path.exists(default) and not os.path.isdir(default):
                self.env_files = [default]
        for key, value in read_env_files(self.env_files, self._environment, self.warnings.append).items():
            self._environment.setdefault(key, value)

    def find_files(self) -> None:
        """`-f`, COMPOSE_FILE, or a file of a usual name here or above."""
        if self.files:
            self.files = [file if file == "-" else os.path.abspath(refuse_remote(file)) for file in self.files]
            return
        if "COMPOSE_FILE" in self._environment:
            separator = self._environment.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
            for name in self._environment["COMPOSE_FILE"].split(separator):
                path = name if name == "-" else os.path.abspath(refuse_remote(name))
                if path != "-" and not os.path.exists(path):
                    raise Invalid(f"stat {path}: no such file or directory")
                self.files.append(path)
            return
        place = self.directory()
        while True:
            found = self._pick(_NAMES, place, "config")
            if found:
                self.files = [found, *filter(None, [self._pick(_OVERRIDES, place, "override")])]
                return
            parent = os.path.dirname(place)
            if parent == place:
                return
            place = parent

    def _pick(self, names: tuple[str, ...], place: str, what: str) -> str:
        there = [path for name in names if os.path.exists(path := os.path.join(place, name))]
        if len(there) > 1:
            kind = "config files with supported names" if what == "config" else "override files with supported names"
            self.warnings.append(f"Found multiple {kind}: {', '.join(there)}")
            self.warnings.append(f"Using {there[0]}")
        return there[0] if there else ""


def _switch(text: str | None) -> bool:
    if text is None:
        return False
    if text not in _TRUE and text not in _FALSE:
        raise Invalid(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


def read_env_files(paths: list[str], current: Mapping[str, str], warn: Callable[[str], None]) -> dict[str, str]:
    """The variables of `.env` files, a later one over an earlier one; raises Invalid with the file's name."""
    values: dict[str, str] = {}

    def lookup(name: str) -> str | None:
        return current.get(name, values.get(name))

    for path in paths:
        if not os.path.exists(path):
            raise Invalid(f"couldn't find env file: {path}")
        if os.path.isdir(path):
            raise Invalid(f"{path} is a directory")
        try:
            parse_variables(read_file(path), values, lookup, warn)
        except Invalid as error:
            raise Invalid(f"failed to read {path}: {error.message}") from None
    return values


def normalize_name(name: str) -> str:
    """A project's name out of any text: lower case, letters, digits, `_` and `-`."""
    return "".join(re.findall("[a-z0-9_-]", name.lower())).lstrip("_-")


def check_name(name: str) -> str:
    """A name that was given; raises Invalid when it is none."""
    if normalize_name(name) != name:
        raise Invalid(
            f'invalid project name "{name}": must consist only of lowercase alphanumeric characters, hyphens, and '
            "underscores as well as start with a letter or number"
        )
    return name
