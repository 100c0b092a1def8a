"""The state of one stage while its instructions are lowered: its tree so far, its image, its variables."""

from dataclasses import dataclass, field, replace

from wharf.build.graph import Operation, Vertex
from wharf.build.options import LowerOptions
from wharf.dockerfile.checks import Checks
from wharf.dockerfile.effects import variables_of, with_env
from wharf.dockerfile.instructions import Instruction
from wharf.dockerfile.suggest import closest
from wharf.dockerfile.words import expand_word
from wharf.errors import Invalid
from wharf.spec.image import History, Image, ImageConfig
from wharf.spec.platform import Platform

HISTORY_COMMENT = "buildkit.dockerfile.v0"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNNAMED_ARGS = frozenset({"SOURCE_DATE_EPOCH"})
"""Build arguments that do not become variables of the steps."""


@dataclass(slots=True)
class StageState:
    """`env` holds what a step sees: the image's variables and the arguments; `arguments` what was declared."""

    name: str
    options: LowerOptions
    checks: Checks
    escape: str
    platform: Platform
    epoch: int
    image: Image
    vertex: Vertex | None = None
    env: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str | None] = field(default_factory=dict)
    steps: int = 0
    step: int = 0
    ignore_cache: bool = False
    command_set: bool = False
    done: bool = False

    @property
    def config(self) -> ImageConfig:
        """The image's configuration so far."""
        return self.image.config

    def set_config(self, config: ImageConfig) -> None:
        """Replace it."""
        self.image = replace(self.image, config=config)

    def begin(self) -> None:
        """Take over the base's variables; PATH is always set."""
        if "PATH" not in variables_of(self.config):
            self.set_config(replace(self.config, env=with_env(self.config.env, "PATH", DEFAULT_PATH)))
        self.env.update(variables_of(self.config))

    def expand(self, word: str, instruction: Instruction, *, quotes: bool = True) -> str:
        """A word with variables put in; those that nobody defined are told. Raises Invalid."""
        escape = self.escape if quotes else "\\"
        found = expand_word(word, self.env, escape, quotes=quotes)
        for name in sorted(found.missing - self.arguments.keys() - UNNAMED_ARGS):
            match = closest(name, self.env)
            message = f"Usage of undefined variable '${name}'" + (f" (did you mean ${match}?)" if match else "")
            self.checks.report("UndefinedVar", message, instruction.lines, instruction.comments)
        return found.text

    def title(self, text: str) -> str:
        """`[stage 2/5] text`, counting up."""
        head, _, rest = text.partition(" ")
        try:
            rest = expand_word(rest, _Lenient(self.env), self.escape, quotes=False).text
        except Invalid:
            pass
        line = f"{head.upper()} {rest}".rstrip()
        if not self.steps:
            return line
        self.step += 1
        where = f"{self.name} " if self.name else ""
        return f"[{where}{self.step:>{len(str(self.steps))}}/{self.steps}] {line}"

    def add(self, op: Operation, inputs: tuple[Vertex | None, ...], title: str, instruction: Instruction) -> None:
        """One more operation upon the tree."""
        self.vertex = Vertex(
            op,
            (self.vertex, *inputs),
            title,
            platform=self.platform,
            epoch=self.epoch,
            ignore_cache=self.ignore_cache,
            build=self.options.build,
            lines=(instruction.lines.first, instruction.lines.last),
        )

    def record(self, created_by: str, *, layer: bool, suffix: bool = False) -> None:
        """One line of history."""
        text = created_by + (" # buildkit" if suffix else "")
        line = History(created_by=text, comment=HISTORY_COMMENT, empty_layer=not layer)
        self.image = replace(self.image, history=(*self.image.history, line))


class _Lenient(dict[str, str]):
    """Variables for a title: what is not defined stays as it is written."""

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return super().get(key, f"${key}" if default is None else default)
