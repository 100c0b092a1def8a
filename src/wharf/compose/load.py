"""Files -> one merged, validated, normalised model (plain values): the loader.

For each document of each file: variables, `extends`, `!reset` upon what lies beneath, `include`, merge, schema, long
forms. Then, once: defaults, checks, absolute paths, names. The order is compose-go's, since it can be seen in results.
"""

from __future__ import annotations

import os

from wharf.compose import tree
from wharf.compose.canonical import canonical, set_defaults
from wharf.compose.check import validate
from wharf.compose.interpolate import PathError, interpolate
from wharf.compose.merge import enforce_unicity, extend_service, merge
from wharf.compose.normalize import normalize, resolve_environment
from wharf.compose.places import compose_file, join, resolve_paths
from wharf.compose.record import Record, field
from wharf.compose.schema import Schema
from wharf.compose.sources import Sources, check_name, normalize_name, read_env_files
from wharf.compose.yamlfile import Document, Path, YamlError, line_of, parse_documents
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_INCLUDES = 1000
_RESOURCES = ("services", "volumes", "networks", "secrets", "configs", "models")


class Options(Record, frozen=True):
    """What `config` may switch off."""

    interpolate: bool = True
    normalize: bool = True
    resolve_paths: bool = True
    consistency: bool = True
    resolve_env: bool = True
    discard_env_files: bool = True


class _Scope(Record):
    """What one file is read with; an included file has a scope of its own."""

    directory: str
    """What relative paths are relative to in the end; may be relative itself, for files that extend."""
    base: str
    """Where the files lie that `extends` and `include` name."""
    environment: dict[str, str]
    options: Options
    included: list[str] = field(default_factory=list)
    validate: bool = True
    extend: bool = True
    include: bool = True


class Loader:
    """One load; `warnings` are what docker compose would say on the way."""

    def __init__(self, sources: Sources, options: Options) -> None:
        self._sources = sources
        self._options = options
        self._schema: Schema | None = None
        self._includes = 0
        self._parsed: dict[str, list[Document]] = {}
        self.warnings = sources.warnings
        self.name = ""

    def load(self) -> tree.Tree:
        """The model; raises Invalid with file, line and path."""
        if not self._sources.files:
            raise Invalid("no configuration file provided: not found")
        for path in self._sources.files:
            self._sources.read(path)
        self._choose_name()
        environment = self._sources.environment
        scope = _Scope(self._sources.directory, self._sources.directory, environment, self._options)
        model = self._model(self._sources.files, scope)
        if not model:
            raise Invalid("empty compose file")
        if not self.name:
            raise Invalid("project name must not be empty")
        if self._options.normalize:
            model["name"] = self.name
            model = normalize(model, environment)
        return model

    # -- the project's name

    def _choose_name(self) -> None:
        named = self._name_in_files()
        if self._sources.name:
            self.name = check_name(self._sources.name)
        else:
            self.name = normalize_name(os.path.basename(self._sources.directory)) if not named else ""
            if self._options.interpolate:
                named = interpolate({"name": named}, self._sources.environment.get, self._warn)["name"]
            named = normalize_name(named) if self._options.normalize else named
            self.name = named or self.name
        self._sources.environment["COMPOSE_PROJECT_NAME"] = self.name

    def _name_in_files(self) -> str:
        name = ""
        for path in self._sources.files:
            self._parsed[path] = self._documents(path, first=not self._sources.name)
            for document in self._parsed[path]:
                if isinstance(document.value, dict) and isinstance(document.value.get("name"), str):
                    name = document.value["name"] or name
        return name

    def _documents(self, path: str, first: bool = False) -> list[Document]:
        """A file's documents, the caller's to change; those that were looked at for the name are not parsed again."""
        if not first and path in self._parsed:
            return self._parsed.pop(path)
        try:
            return parse_documents(self._sources.read(path))
        except YamlError as error:
            # docker compose looks for the name before it names the file
            message = error.message if first and error.syntax else f"failed to parse {path}: {error.message}"
            raise Located(message, path, error.line) from None

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    # -- files

    def _model(self, files: list[str], scope: _Scope) -> tree.Tree:
        model: tree.Tree = {}
        for path in files:
            model, _ = self._file(path, scope, model, [])
        try:
            model = set_defaults(model)
            if scope.validate:
                validate(model)
            if scope.options.resolve_paths:
                resolve_paths(model, scope.directory)
        except PathError as error:
            raise self._located(error, files) from None
        resolve_environment(model, scope.environment)
        return model

    def _file(
        self, path: str, scope: _Scope, model: tree.Tree, chain: list[tuple[str, str]]
    ) -> tuple[tree.Tree, list[Path]]:
        removed: list[Path] = []
        for document in self._documents(path):
            removed = document.removed
            try:
                model = self._document(document, path, scope, model, chain)
            except PathError as error:
                raise self._located(error, [path]) from None
        return model, removed

    def _document(
        self, document: Document, path: str, scope: _Scope, model: tree.Tree, chain: list[tuple[str, str]]
    ) -> tree.Tree:
        value = _string_keys(document.value, "")
        if not isinstance(value, dict):
            raise PathError("top-level object must be a mapping", ())
        if scope.options.interpolate:
            value = interpolate(value, scope.environment.get, self._warn)
        if scope.extend:
            self._extend_all(value, path, scope, chain, document.removed)
        _remove(model, document.removed, ())
        if scope.include:
            self._include_all(value, scope, [*scope.included, path])
        model = enforce_unicity(merge(model, value))
        if scope.validate:
            self._validate(model, path)
        model = canonical(model, not scope.options.interpolate, self._warn)
        return enforce_unicity(model)

    def _validate(self, model: tree.Tree, path: str) -> None:
        if self._schema is None:
            self._schema = Schema()
        try:
            self._schema.validate(model)
        except PathError as error:
            raise PathError(f"validating {path}: {error.message}", error.path) from None
        if "version" in model:
            del model["version"]
            self._warn(f"{path}: the attribute `version` is obsolete, it will be ignored, please remove it to avoid "
                       "potential confusion")  # fmt: skip

    def _located(self, error: PathError, files: list[str]) -> Invalid:
        """The error with the file and line of its path, the last file that has it."""
        if isinstance(error, Located):
            return error
        path = list(error.path)
        for file in reversed(files):
            line = line_of(self._sources.texts.get(file, b""), path)
            if line:
                return Located(error.message, file, line)
        return Located(error.message, files[-1], 0)

    # -- extends

    def _extend_all(
        self, value: tree.Tree, path: str, scope: _Scope, chain: list[tuple[str, str]], removed: list[Path]
    ) -> None:
        services = value.get("services")
        if services is None and "services" not in value:
            return
        if services is None:
            raise PathError("services must be a mapping", ("services",))
        if not isinstance(services, dict):
            raise PathError("services must be a mapping", ("services",))
        extension = _Extension(self, scope, path)
        for name in list(services):
            services[name] = extension.apply(name, services, path, chain, removed)

    def read_base(self, path: str, scope: _Scope) -> tuple[tree.Tree, list[Path]]:
        """The file that a service extends, with nothing but its variables replaced."""
        plain = _Scope(scope.directory, scope.base, scope.environment, scope.options, [], False, False, False)
        return self._file(path, plain, {}, [])

    # -- include

    def _include_all(self, value: tree.Tree, scope: _Scope, included: list[str]) -> None:
        entries = value.pop("include", None)
        if entries is None:
            return
        if not isinstance(entries, list):
            raise PathError("`include` must be a list", ("include",))
        for index, entry in enumerate(entries):
            self._includes += 1
            if self._includes > MAX_INCLUDES:
                raise PathError(f"more than {MAX_INCLUDES} files are included", ("include", str(index)))
            model = self._included({"path": entry} if isinstance(entry, str) else entry, scope, included)
            _import(model, value)

    def _included(self, entry: Any, scope: _Scope, included: list[str]) -> tree.Tree:
        if not isinstance(entry, dict) or not entry.get("path"):
            raise PathError("`include` must name a path", ("include",))
        paths = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
        absolute = [compose_file(str(path), scope.base) for path in paths]
        if absolute[0] in included:
            chain = [*included, absolute[0]]
            raise PathError(f"include cycle detected:\n{chain[0]}\n include " + "\n include ".join(chain[1:]),
                            ("include",))  # fmt: skip
        given = entry.get("project_directory")
        base = given or os.path.dirname(absolute[0])
        base = base if os.path.isabs(base) else join(scope.base, base)
        # As in compose-go: a relative directory that is not there counts as a file in its own.
        there = os.path.isabs(given or "/") or os.path.isdir(base)
        directory = base if there else os.path.dirname(base)
        env_files = _env_files(entry.get("env_file"), base, scope.base)
        environment = dict(scope.environment)
        for key, text in read_env_files(env_files, scope.environment, self._warn).items():
            environment.setdefault(key, text)
        inner = Options(interpolate=scope.options.interpolate)
        return self._model(absolute, _Scope(directory, base, environment, inner, included, scope.validate))


def _env_files(given: Any, base: str, outer: str) -> list[str]:
    if not given:
        default = os.path.join(base, ".env")
        return [default] if os.path.isfile(default) else []
    files = [str(item) for item in (given if isinstance(given, list) else [given])]
    result = []
    for name in files:
        path = name if os.path.isabs(name) else join(outer, name)
        if not os.path.exists(path):
            raise PathError(f"stat {path}: no such file or directory", ("include",))
        if os.path.isdir(path):
            raise PathError(f"{path} is not a file", ("include",))
        result.append(path)
    return result


class Located(Invalid):
    """An error with its place in a file."""

    def __init__(self, message: str, file: str, line: int) -> None:
        super().__init__(f"{message} ({file}:{line})" if line else message)
        self.plain = message
        self.file = file
        self.line = line


class _Extension:
    """`extends` of one file's services: the base service first, the service upon it."""

    def __init__(self, loader: Loader, scope: _Scope, path: str) -> None:
        self._loader = loader
        self._scope = scope
        self._path = path

    def apply(
        self, name: str, services: tree.Tree, path: str, chain: list[tuple[str, str]], removed: list[Path]
    ) -> Any:
        """The service with what it extends; `services` are those of the file that it stands in."""
        service = services.get(name)
        if service is None:
            return None
        where = ("services", name)
        if not isinstance(service, dict):
            raise PathError(f"services.{name} must be a mapping", where)
        if "extends" not in service:
            return service
        reference, file = self._reference(name, service["extends"])
        others, below, base_removed, shown = services, path, removed, path
        if file is not None:
            others, below, base_removed = self._other_file(name, reference, path, str(file))
            shown = str(file)
        elif reference not in services:
            message = f'cannot extend service "{name}" in {path}: service "{reference}" not found'
            raise PathError(message, (*where, "extends"))
        chain = _not_again(chain, (shown, name))
        base = self.apply(reference, others, below, chain, base_removed)
        if base is None:
            return service
        source = tree.clone(base)
        _remove({"services": {name: source}}, removed, ())
        merged = extend_service(source, service)
        merged.pop("extends", None)
        services[name] = merged
        return merged

    def _reference(self, name: str, extends: Any) -> tuple[str, Any]:
        if isinstance(extends, dict):
            if not isinstance(extends.get("service"), str):
                raise PathError(f"extends.{name}.service is required", ("services", name, "extends"))
            return extends["service"], extends.get("file")
        return str(extends), None

    def _other_file(self, name: str, reference: str, path: str, file: str) -> tuple[tree.Tree, str, list[Path]]:
        """Services of another file, their paths made relative to this one's directory."""
        scope = self._scope
        local = compose_file(file, scope.base)
        where = ("services", name, "extends")
        try:
            source, removed = self._loader.read_base(local, scope)
        except Located:
            raise
        except Invalid as error:
            raise PathError(error.message, where) from None
        services = source.get("services")
        if "services" not in source:
            raise PathError(f'cannot extend service "{name}" in {local}: no services section', where)
        if not isinstance(services, dict):
            raise PathError(f'cannot extend service "{name}" in {local}: services must be a mapping', where)
        if reference not in services:
            message = f'cannot extend service "{name}" in {path}: service "{reference}" not found in {file}'
            raise PathError(message, where)
        resolve_paths(source, os.path.relpath(os.path.dirname(local), scope.base))
        return services, local, removed


def _not_again(chain: list[tuple[str, str]], link: tuple[str, str]) -> list[tuple[str, str]]:
    if link in chain:
        lines = ["Circular reference:", f"  {chain[0][1]} in {chain[0][0]}"]
        lines += [f"  extends {service} in {file}" for file, service in [*chain[1:], link]]
        raise PathError("\n".join(lines), ("services", link[1], "extends"))
    return [*chain, link]


def _import(source: tree.Tree, target: tree.Tree) -> None:
    for kind in _RESOURCES:
        if source.get(kind) is None:
            continue
        there = target.get(kind) or {}
        for name, item in source[kind].items():
            if name in there and there[name] != item:
                raise PathError(f"{kind}.{name} conflicts with imported resource", (kind, name))
            there[name] = item
        target[kind] = there


def _remove(value: Any, removed: list[Path], path: Path) -> None:
    """Takes out what `!reset` and `!override` name (in place); elements of lists stay."""
    if not removed or not isinstance(value, dict):
        return
    for key in list(value):
        below = (*path, key)
        if below in removed:
            del value[key]
        else:
            _remove(value[key], removed, below)


def _string_keys(value: Any, prefix: str) -> Any:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                from wharf.compose.scalars import go_print

                where = f"in {prefix}" if prefix else "at top level"
                raise PathError(f"non-string key {where}: {go_print(key)}", tuple(prefix.split(".")) if prefix else ())
            if isinstance(item, (dict, list)):
                _string_keys(item, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                _string_keys(item, f"{prefix}[{index}]")
    return value
