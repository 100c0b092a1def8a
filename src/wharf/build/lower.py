"""A parsed Dockerfile to a graph: only the stages that the target needs, each instruction in turn.

What BuildKit's frontend does (frontend/dockerfile/dockerfile2llb), with its words.
"""

from dataclasses import dataclass, replace

from wharf.build.arguments import global_arguments, platform_arguments, predefined_names
from wharf.build.graph import CopyFiles, Files, ImageSource, LocalSource, Vertex
from wharf.build.lower_copy import lower_copy
from wharf.build.lower_meta import lower_meta
from wharf.build.lower_run import lower_run
from wharf.build.options import EPOCH_ARG, BaseImage, LowerOptions, NamedContext, Resolver, context_name
from wharf.build.stage import StageState
from wharf.dockerfile.checks import Checks, check_text, parse_options
from wharf.dockerfile.instructions import Copy, Dockerfile, From, Instruction, OnBuild, Run, Stage, Workdir
from wharf.dockerfile.parse import parse_statement
from wharf.dockerfile.position import DockerfileError, Lines
from wharf.dockerfile.run_mount import RunMount, mount_origin, parse_mount
from wharf.dockerfile.source import read_statements
from wharf.dockerfile.suggest import closest, hint
from wharf.dockerfile.words import expand, expand_word
from wharf.errors import Denied, Invalid
from wharf.spec.image import Image, ImageConfig
from wharf.spec.platform import Platform
from wharf.spec.quote import go_quote
from wharf.spec.reference import Reference

SCRATCH = "scratch"
CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class Target:
    """The stage that was asked for: its tree (None: empty), its image but for the layers, what the checks found.

    `base` is the image it begins with. `epoch` in seconds: the time that the image and its history get.
    """

    vertex: Vertex | None
    image: Image
    base: BaseImage | None
    epoch: int
    checks: Checks
    unused_args: tuple[str, ...]
    trace: tuple[tuple[str, Vertex | None], ...] = ()
    """Every instruction that was lowered, in the order of the file, with the operation that it became, if any; one that
    the base image brought has no text, and a line that begins with `#` before it."""


def lower(file: Dockerfile, options: LowerOptions, resolver: Resolver) -> Target:
    """The graph of one target. Raises DockerfileError, with the lines; NotFound for an image that is not there."""
    checks = Checks(parse_options(options.build_args.get("BUILDKIT_DOCKERFILE_CHECK", file.check)))
    check_text(file, checks)
    return _Lowering(file, options, resolver, checks).target()


class _Lowering:
    """One file with one set of options."""

    def __init__(self, file: Dockerfile, options: LowerOptions, resolver: Resolver, checks: Checks) -> None:
        self._file = file
        self._options = options
        self._resolver = resolver
        self._checks = checks
        self._stages = file.stages
        self._states: dict[int, StageState] = {}
        self._bases: dict[int, BaseImage | None] = {}
        self._traces: dict[int, list[tuple[str, Vertex | None]]] = {}
        self._images: dict[tuple[str, str], BaseImage] = {}
        known = platform_arguments(options, options.target or self._stages[-1].name)
        self._check_defaults(known)
        self._globals = global_arguments(known, file.globals, options.build_args, file.escape)
        self._context = self._local(CONTEXT, "[internal] load build context")

    def target(self) -> Target:
        index = self._find_target()
        for needed in self._reachable(index):
            self._state(needed)
        state = self._state(index)
        config = replace(state.config, labels={**state.config.labels, **self._options.labels})
        self._checks.raise_if_errors()
        return Target(
            state.vertex,
            replace(state.image, config=config),
            self._bases[index],
            state.epoch,
            self._checks,
            self._unused(),
            (
                *((arg.code, None) for arg in self._file.globals),
                *(item for number in sorted(self._states) for item in self._traces[number]),
            ),
        )

    def _local(self, name: str, title: str) -> Vertex:
        build = self._options.build
        return Vertex(LocalSource(f"{build}:{name}" if build else name), (), title, build=build)

    # -- which stages

    def _find_target(self) -> int:
        wanted = self._options.target
        if not wanted:
            return len(self._stages) - 1
        for index in range(len(self._stages) - 1, -1, -1):
            if self._stages[index].name == wanted.lower():
                return index
        if wanted.isdigit() and int(wanted) < len(self._stages):
            return int(wanted)
        names = [stage.name for stage in self._stages if stage.name]
        raise Invalid(f"target stage {go_quote(wanted)} could not be found{hint(wanted, names)}")

    def _earlier(self, name: str, before: int) -> int | None:
        """The last stage of that name that stands before stage `before`."""
        wanted = name.lower()
        return next((index for index in range(before - 1, -1, -1) if self._stages[index].name == wanted), None)

    def _reachable(self, top: int) -> list[int]:
        """The stages that a stage needs, lowest first: what it needs always stands before it."""
        found = {top}
        todo = [top]
        while todo:
            index = todo.pop()
            for below in self._needed(index):
                if below not in found:
                    found.add(below)
                    todo.append(below)
        return sorted(found)

    def _needed(self, index: int) -> list[int]:
        names = []
        for item in self._stages[index].instructions:
            if isinstance(item, Copy):
                names.append(item.origin)
            elif isinstance(item, Run):
                names += [mount_origin(text) for text in item.mounts]
        stages = [self._base_stage(index)]
        for name in names:
            if name and self._named(name) is None:
                earlier = self._earlier(name, index)
                stages.append(int(name) if earlier is None and name.isdigit() and int(name) < index else earlier)
        return [stage for stage in stages if stage is not None]

    def _state(self, index: int) -> StageState:
        """The lowered stage, made once."""
        known = self._states.get(index)
        if known is None:
            known = self._states[index] = self._lower_stage(index)
        return known

    def _base_stage(self, index: int) -> int | None:
        name = self._base_name(self._stages[index].start)
        return None if self._named(name) is not None else self._earlier(name, index)

    def _named(self, name: str) -> NamedContext | None:
        """The context that the client named so: it stands for a stage and for an image of that name."""
        if not self._options.contexts:
            return None
        try:
            return self._options.contexts.get(context_name(name))
        except Invalid:
            return None

    def _base_name(self, start: From) -> str:
        found = expand_word(start.image, self._globals, self._file.escape)
        for name in sorted(found.missing):
            match = closest(name, self._globals)
            message = f"FROM argument '{name}' is not declared" + (f" (did you mean {match}?)" if match else "")
            self._checks.report("UndefinedArgInFrom", message, start.lines, start.comments)
        if not found.text:
            raise DockerfileError(f"base name ({start.image}) should not be blank", start.lines)
        return found.text

    def _check_defaults(self, known: dict[str, str]) -> None:
        """Whether every FROM names an image when nobody gives an argument."""
        try:
            values = global_arguments(known, self._file.globals, {}, self._file.escape)
            names = [(stage.start, expand(stage.start.image, values, self._file.escape)) for stage in self._stages]
        except Invalid:
            return
        for start, name in names:
            try:
                Reference.parse(name)
            except Invalid:
                message = f"Default value for ARG {start.image} results in empty or invalid base image name"
                self._checks.report("InvalidDefaultArgInFrom", message, start.lines, start.comments)

    # -- one stage

    def _lower_stage(self, index: int) -> StageState:
        stage = self._stages[index]
        start = stage.start
        try:
            state = self._begin(index, stage)
        except DockerfileError:
            raise
        except Invalid as error:
            raise DockerfileError(error.message, start.lines) from None
        triggers = self._triggers(state, start)
        body = (*triggers, *stage.instructions)
        state.steps = sum(isinstance(item, Copy | Run | Workdir) for item in body)
        base = self._bases[index]
        if base is not None and state.vertex is None:
            state.steps += 1
            op = ImageSource(base.reference, base.image_id)
            where = (start.lines.first, start.lines.last)
            title, build = state.title(f"FROM {base.reference}"), self._options.build
            state.vertex = Vertex(op, (), title, platform=state.platform, build=build, lines=where)
        trace = self._traces[index] = [(start.code, state.vertex)]
        if triggers:
            trace.append((f"# Executing {len(triggers)} build trigger{'s' * (len(triggers) > 1)}", None))
        for number, item in enumerate(body):
            before = state.vertex
            try:
                self._instruction(state, item, index)
            except DockerfileError:
                raise
            except (Invalid, Denied) as error:
                raise DockerfileError(error.message, item.lines) from None
            code = item.code if number >= len(triggers) else ""
            trace.append((code, state.vertex if state.vertex is not before else None))
        state.done = True
        return state

    def _begin(self, index: int, stage: Stage) -> StageState:
        start, name = stage.start, self._base_name(stage.start)
        below = self._base_stage(index)
        platform = self._platform(start)
        shown = stage.name or f"stage-{index}"
        if len(self._stages) == 1:
            shown = ""
        ignore = bool(self._options.no_cache & {"*", stage.name or str(index)})
        if below is not None:
            other = self._state(below)
            state = replace(
                other,
                name=shown,
                env=dict(other.env),
                arguments=dict(other.arguments),
                steps=0,
                step=0,
                ignore_cache=ignore,
                command_set=False,
                done=False,
            )
            self._bases[index] = self._bases[below]
            return state
        named = self._named(name)
        local = named.local if named is not None else ""
        base = None if local or (name == SCRATCH and named is None) else self._image(name, platform)
        self._bases[index] = base
        image = base.image if base else Image(ImageConfig(working_dir="/"), (), platform)
        state = StageState(
            shown, self._options, self._checks, self._file.escape, platform, self._epoch(base),
            replace(image, platform=image.platform if base else platform), ignore_cache=ignore,
        )  # fmt: skip
        if base is not None:
            self._check_platform(start, base, platform)
        state.begin()
        if local:
            files = self._local(local, f"[context {name}] load from client")
            state.add(Files((CopyFiles(1, ("/",), "/"),)), (files,), f"FROM {name}", start)
        return state

    def _platform(self, start: From) -> Platform:
        if not start.platform:
            return self._options.platform
        found = expand_word(start.platform, self._globals, self._file.escape)
        if not found.text:
            raise DockerfileError(f"empty platform value from expression {start.platform}", start.lines)
        try:
            platform = Platform.parse(found.text)
        except Invalid as error:
            raise DockerfileError(f"failed to parse platform {start.platform}: {error.message}", start.lines) from None
        where = (start.lines, start.comments)
        if found.used == {"TARGETPLATFORM"} and found.text == self._globals["TARGETPLATFORM"]:
            message = (
                f"Setting platform to predefined {start.platform} in FROM is redundant as this is the default behavior"
            )
            self._checks.report("RedundantTargetPlatform", message, *where)
        named = platform.os in start.stage or platform.architecture in start.stage
        if not found.used and not found.missing and not named:
            message = f"FROM --platform flag should not use constant value {go_quote(found.text)}"
            self._checks.report("FromPlatformFlagConstDisallowed", message, *where)
        return platform

    def _check_platform(self, start: From, base: BaseImage, wanted: Platform) -> None:
        have = base.image.platform
        if (have.os, have.architecture) != (wanted.os, wanted.architecture):
            message = (
                f"Base image {start.image} was pulled with platform {go_quote(str(have))}, "
                f"expected {go_quote(str(wanted))} for current build"
            )
            self._checks.report("InvalidBaseImagePlatform", message, start.lines, start.comments)

    def _epoch(self, base: BaseImage | None) -> int:
        """SOURCE_DATE_EPOCH, else when the base was made, else 1970."""
        from wharf.build.times import seconds_of

        given = self._options.build_args.get(EPOCH_ARG) or self._globals.get(EPOCH_ARG, "")
        if given:
            if not given.isascii() or not given.isdigit() or len(given) > 12:
                raise Invalid(f"invalid SOURCE_DATE_EPOCH: {given[:50]}")
            return int(given)
        return seconds_of(base.image.created) if base else 0

    def _image(self, name: str, platform: Platform) -> BaseImage:
        context = self._named(name)
        if context is not None and context.image:
            name = context.image
        key = (name, str(platform))
        if key not in self._images:
            self._images[key] = self._resolver.image(name, platform)
        return self._images[key]

    def _triggers(self, state: StageState, start: From) -> tuple[Instruction, ...]:
        """The base's ONBUILD instructions, which run now and are not handed on."""
        found: list[Instruction] = []
        for text in state.config.on_build:
            statements = read_statements(text)
            if len(statements) != 1:
                raise DockerfileError("onbuild trigger should be a single expression", start.lines)
            instruction = parse_statement(statements[0])
            if isinstance(instruction, From | OnBuild):
                raise DockerfileError(f"{instruction.name} isn't allowed as an ONBUILD trigger", start.lines)
            found.append(replace(instruction, lines=start.lines))
        state.set_config(replace(state.config, on_build=()))
        return tuple(found)

    # -- one instruction

    def _instruction(self, state: StageState, item: Instruction, index: int) -> None:
        if isinstance(item, Run):
            mounts = tuple(parse_mount(text, lambda word: state.expand(word, item)) for text in item.mounts)
            lower_run(state, item, mounts, [self._mount_source(mount, index, item) for mount in mounts])
        elif isinstance(item, Copy):
            lower_copy(state, item, self._copy_source(item, index))
        else:
            lower_meta(state, item, self._globals)

    def _copy_source(self, item: Copy, index: int) -> Vertex | None:
        if not item.origin:
            return self._context
        if expand(item.origin, {}) != item.origin:
            raise Invalid(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global "
                "scope as a workaround"
            )
        return self._tree_of(item.origin, index, item.lines, "copy")

    def _mount_source(self, mount: RunMount, index: int, item: Run) -> Vertex | None:
        if mount.origin:
            return self._tree_of(mount.origin, index, item.lines, "mount")
        return self._context if mount.type == "bind" else None

    def _tree_of(self, name: str, index: int, lines: Lines, verb: str) -> Vertex | None:
        """The tree of a stage, an image, a named context."""
        context = self._named(name)
        if context is not None and context.local:
            return self._local(context.local, f"[context {name}] load from client")
        if name.lower() == SCRATCH and verb == "mount":
            return None
        below = None if context is not None else self._earlier(name, index)
        if below is None and name.isdigit():
            if int(name) >= len(self._stages):
                raise DockerfileError(f"invalid stage index {name}", lines)
            below = int(name)
        later = next((n for n, stage in enumerate(self._stages) if n >= index and stage.name == name.lower()), None)
        if below is None and later is not None and context is None:
            below = later
        if below is not None and below >= index:
            if below == index:
                shown = self._stages[index].name or str(index)
                raise DockerfileError(f"circular dependency detected on stage: {shown}", lines)
            raise DockerfileError(
                f"cannot {verb} from stage {go_quote(name)}, it needs to be defined before current stage "
                f"{go_quote(self._stages[index].name or f'stage-{index}')}",
                lines,
            )
        if below is not None:
            return self._state(below).vertex
        base = self._image(name, self._options.platform)
        op = ImageSource(base.reference, base.image_id)
        title, build = f"FROM {base.reference}", self._options.build
        return Vertex(op, (), title, platform=self._options.platform, build=build)

    def _unused(self) -> tuple[str, ...]:
        """Arguments that were given and that nothing declares."""
        declared = set(self._globals) | set(predefined_names())
        for arg in self._file.globals:
            declared |= {argument.key for argument in arg.arguments}
        for state in self._states.values():
            declared |= state.arguments.keys()
        return tuple(sorted(set(self._options.build_args) - declared))
