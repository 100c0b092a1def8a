"""Instructions as values: what a statement says, before variables are put in."""

from dataclasses import dataclass, field

from wharf.dockerfile.position import Lines
from wharf.spec.image import HealthConfig


@dataclass(frozen=True, slots=True)
class Pair:
    """`key=value`; `legacy` when it was written `key value`."""

    key: str
    value: str
    legacy: bool = False

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class Argument:
    """One name of an ARG; a default of None is none."""

    key: str
    default: str | None


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A here-document: the file that COPY makes of it, or a body that RUN hands to its shell."""

    name: str
    text: str
    expand: bool


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Arguments of RUN, CMD and ENTRYPOINT: `shell` form is one string for the shell, exec form is run as it is."""

    words: tuple[str, ...]
    shell: bool
    files: tuple[InlineFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Instruction:
    """What all have: the name as written, the statement's text, where it stands, the comments right above."""

    name: str
    code: str
    lines: Lines
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class From(Instruction):
    """`image` may be a stage's name; `platform` and `image` may hold variables."""

    image: str
    stage: str
    platform: str
    as_word: str
    stage_as_written: str


@dataclass(frozen=True, slots=True)
class Arg(Instruction):
    """Build arguments, in their order."""

    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Env(Instruction):
    """Variables of the image."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Label(Instruction):
    """Labels of the image."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Run(Instruction):
    """A command; `mounts` are the texts of --mount, which variables may fill in."""

    command: CommandLine
    mounts: tuple[str, ...] = ()
    network: str = ""
    security: str = ""
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy(Instruction):
    """COPY and ADD: `sources` are paths, patterns, URLs; `files` here-documents."""

    add: bool
    sources: tuple[str, ...]
    files: tuple[InlineFile, ...]
    target: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    excludes: tuple[str, ...] = ()
    origin: str = ""
    parents: bool = False
    keep_git: bool | None = None
    checksum: str = ""
    unpack: bool | None = None


@dataclass(frozen=True, slots=True)
class Cmd(Instruction):
    """Default arguments of the image."""

    command: CommandLine


@dataclass(frozen=True, slots=True)
class Entrypoint(Instruction):
    """The image's program."""

    command: CommandLine


@dataclass(frozen=True, slots=True)
class Shell(Instruction):
    """What runs commands in shell form."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expose(Instruction):
    """Ports as written."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Volume(Instruction):
    """Paths that get a volume."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class User(Instruction):
    """`name|uid[:group|gid]`, kept as written."""

    user: str


@dataclass(frozen=True, slots=True)
class Workdir(Instruction):
    """A directory, absolute or below the one before."""

    path: str


@dataclass(frozen=True, slots=True)
class StopSignal(Instruction):
    """A signal's name or number."""

    signal: str


@dataclass(frozen=True, slots=True)
class Healthcheck(Instruction):
    """How the engine tells whether a container is well."""

    check: HealthConfig


@dataclass(frozen=True, slots=True)
class OnBuild(Instruction):
    """An instruction for the images built on this one, kept as text."""

    trigger: str


@dataclass(frozen=True, slots=True)
class Maintainer(Instruction):
    """The author, as images were signed once."""

    author: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A FROM and what follows it."""

    start: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """In lower case; empty where it has none."""
        return self.start.stage


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A whole file, parsed: arguments before the first FROM, then the stages."""

    text: str
    escape: str
    check: str
    syntax: str
    globals: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    empty_continuations: tuple[Lines, ...] = field(default=())
