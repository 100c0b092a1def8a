"""`wharf compose`: its global options, its verbs, and the project that a verb works on.

Nothing of `wharf.compose` is imported before a verb asks for it: `ps`, `logs` and the like of a named project read no
file.
"""

from __future__ import annotations

import os

from wharf.cli.flags import ANY, Command, Flag, UsageError
from wharf.cli.session import ExitWith, Session
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from wharf.compose.engine import Engine
    from wharf.compose.images import Surroundings
    from wharf.compose.load import Options
    from wharf.compose.project import Project
    from wharf.compose.sources import Request

VERBS = {
    "config": "compose_config", "convert": "compose_config", "version": "compose_config",
    "up": "compose_up", "create": "compose_up", "scale": "compose_up", "start": "compose_up",
    "down": "compose_down", "stop": "compose_down", "kill": "compose_down", "rm": "compose_down",
    "pause": "compose_down", "unpause": "compose_down", "restart": "compose_down", "wait": "compose_down",
    "ps": "compose_ps", "ls": "compose_ps", "images": "compose_ps", "top": "compose_ps", "port": "compose_ps",
    "volumes": "compose_ps", "stats": "compose_ps", "events": "compose_ps",
    "logs": "compose_logs",
    "exec": "compose_exec", "attach": "compose_exec", "cp": "compose_exec", "export": "compose_exec",
    "commit": "compose_exec", "run": "compose_run",
    "watch": "compose_watch", "build": "compose_build", "pull": "compose_build", "push": "compose_build",
}  # fmt: skip
_PROGRESS = ("", "auto", "tty", "plain", "json", "quiet", "none")


class ComposeCommand(Command):
    """A verb of `wharf compose`: a wrong flag ends with 1, as docker compose's do."""

    def error(self, message: str, status: int = 1) -> UsageError:
        """A wrong flag or value."""
        return super().error(message, 1 if status == 125 else status)


def command(
    name: str,
    usage: str,
    summary: str,
    flags: tuple[Flag, ...] = (),
    *,
    operands: tuple[int, int] = (0, ANY),
    interspersed: bool = True,
    checks: Mapping[str, Any] | None = None,
    example: str = "",
) -> ComposeCommand:
    """One verb's table."""
    return ComposeCommand(
        f"compose {name}",
        usage,
        summary,
        (*flags, ("dry-run", "", "bool", "Execute command in dry run mode")),
        operands=operands,
        interspersed=interspersed,
        checks=checks,
        example=example,
    )


COMPOSE = ComposeCommand(
    "compose",
    "[OPTIONS] COMMAND",
    "Define and run multi-container applications",
    (
        ("all-resources", "", "bool", "Include all resources, even those not used by services"),
        ("ansi", "", "string", 'Control when to print ANSI control characters ("never"|"always"|"auto")'),
        ("compatibility", "", "bool", "Run compose in backward compatibility mode"),
        ("dry-run", "", "bool", "Execute command in dry run mode"),
        ("env-file", "", "list", "Specify an alternate environment file"),
        ("file", "f", "list", "Compose configuration files"),
        ("parallel", "", "int", "Control max parallelism, -1 for unlimited"),
        ("profile", "", "list", "Specify a profile to enable"),
        ("progress", "", "string", "Set type of progress output (auto, tty, plain, json, quiet)"),
        ("project-directory", "", "string", "Specify an alternate working directory"),
        ("project-name", "p", "string", "Project name"),
        ("verbose", "", "bool", "Show more output"),
        ("version", "v", "bool", "Show the version"),
        ("workdir", "", "string", "The older name of --project-directory"),
    ),
    operands=(0, ANY),
    interspersed=False,
    example="wharf compose up -d --wait",
)


class Compose:
    """One run of `wharf compose`: the global options and what they lead to."""

    def __init__(self, session: Session, flags: Mapping[str, Any]) -> None:
        self.session = session
        self.flags = flags
        self.dry_run = bool(flags.get("dry-run"))
        self.compatibility = bool(flags.get("compatibility"))
        self._request: Request | None = None
        self._engine: Engine | None = None

    @property
    def request(self) -> Request:
        """Files, names and profiles that were asked for."""
        if self._request is None:
            from wharf.compose.sources import Request

            files = self.flags.get("env-file") or [
                name for name in os.environ.get("COMPOSE_ENV_FILES", "").split(",") if name
            ]
            self._request = Request(
                list(self.flags.get("file") or ()),
                self.flags.get("project-directory") or self.flags.get("workdir") or "",
                self.flags.get("project-name") or "",
                [os.path.abspath(name) for name in files],
                list(self.flags.get("profile") or ()),
            )
        return self._request

    def project(self, services: Iterable[str] = (), options: Options | None = None) -> Project:
        """The project with these services and what they need; warnings are shown. Raises Invalid."""
        from wharf.compose.load import Options
        from wharf.compose.project import load_project
        from wharf.compose.sources import find_sources

        names = list(services)
        sources = find_sources(self.request)
        try:
            project = load_project(self.request, options or Options(), sources)
        finally:
            self.warn(sources.warnings)
        project = project.with_enabled(names).with_selected(names)
        return project if self.flags.get("all-resources") else project.without_unused()

    def project_or_name(self, services: Iterable[str] = ()) -> tuple[Project | None, str]:
        """The project, or nothing but its name where `-p` alone says which."""
        from wharf.compose.load import Options

        if self.flags.get("file") or not self.request.project_name:
            try:
                project = self.project(services, Options(resolve_env=False))
            except WharfError:
                name = os.environ.get("COMPOSE_PROJECT_NAME")
                if name and not self.flags.get("file"):
                    return None, name
                raise
            return project, project.name
        return None, self.request.project_name

    def name(self) -> str:
        """The project's name; no file is read where something else says it."""
        named = self.request.project_name or os.environ.get("COMPOSE_PROJECT_NAME", "")
        return named.lower() or self.project_or_name()[1]

    def engine(self) -> Engine:
        """The engine, for several threads."""
        from wharf.compose.engine import Engine

        if self._engine is None:
            client = self.session.client()
            self._engine = Engine(client.address, client)
        return self._engine

    def around(self, quiet: bool = False, *, quiet_build: bool = False) -> Surroundings:
        """What plans are done with."""
        from wharf.cli.compose_progress import Progress, mode_of
        from wharf.compose.images import Surroundings

        wanted = "quiet" if quiet else str(self.flags.get("progress", os.environ.get("COMPOSE_PROGRESS", "")))
        mode = mode_of(wanted, str(self.flags.get("ansi", os.environ.get("COMPOSE_ANSI", "auto"))))
        return Surroundings(
            self.engine(),
            Progress(mode),
            lambda text: self.warn([text]),
            self._credentials,
            self._all_credentials,
            self._quiet_build if quiet_build else self._build,
            self._proxies,
            self._workers(),
        )

    def _workers(self) -> int:
        text = os.environ.get("COMPOSE_PARALLEL_LIMIT", "")
        limit = self.flags.get("parallel")
        if limit is None and text:
            if not text.lstrip("-").isdecimal():
                raise ExitWith(f'COMPOSE_PARALLEL_LIMIT must be an integer (found: "{text}")')
            limit = int(text)
        return limit if limit and limit > 0 else 16

    def _credentials(self, image: str) -> dict[str, str]:
        from wharf.cli.credentials import Credentials  # late: most runs pull nothing

        return Credentials(self.session.config).header(image)

    def _all_credentials(self) -> str:
        from wharf.cli.credentials import Credentials

        return Credentials(self.session.config).alone()

    def _proxies(self) -> dict[str, str]:
        from wharf.cli.proxies import proxy_variables

        return proxy_variables(self.session, ())

    def _build(self, project: Project, name: str) -> None:
        from wharf.cli.compose_build import build_service

        build_service(self, project, name)

    def _quiet_build(self, project: Project, name: str) -> None:
        from wharf.cli.compose_build import build_service

        build_service(self, project, name, {"quiet": True})

    def warn(self, warnings: Iterable[str]) -> None:
        """Shows what is not wrong but worth a word."""
        for text in warnings:
            self.session.complain(f"WARN: {text}")


def compose(session: Session, args: list[str]) -> int:
    """`wharf compose …`."""
    flags, rest = COMPOSE.parse(args)
    if flags.get("version"):
        rest = ["version"]
    if not rest or rest[0] == "help":
        session.write(_overview())
        return 0
    verb, arguments = rest[0], rest[1:]
    if verb not in VERBS:
        session.write(_overview())
        raise ExitWith(f'unknown command: "compose {verb}"')
    if flags.get("workdir") and flags.get("project-directory"):
        raise ExitWith(
            'cannot specify DEPRECATED "--workdir" and "--project-directory". Please use only "--project-directory" '
            "instead"
        )
    progress = flags.get("progress", os.environ.get("COMPOSE_PROGRESS", ""))
    if progress not in _PROGRESS:
        raise ExitWith(f'unsupported --progress value "{progress}"')
    module = __import__(f"wharf.cli.{VERBS[verb]}", fromlist=[verb])
    function = getattr(module, verb + "_" if verb in ("exec", "import") else verb)
    return int(function(Compose(session, flags), arguments))


def _overview() -> str:
    return COMPOSE.help() + "\nCommands:\n  " + "\n  ".join(sorted(VERBS)) + "\n"
