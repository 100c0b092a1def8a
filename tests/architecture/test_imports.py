"""The layers of docs/architecture.md as a tested fact: a folder imports only what lies below it, never a neighbour."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "wharf"

LEVELS = {
    "errors": 0, "spec": 0, "dockerfile": 0, "__init__": 0,
    "kernel": 1, "wire": 1,
    "storage": 2, "runtime": 2, "network": 2, "registry": 2,
    "transfer": 3, "logdrivers": 3, "engine": 4, "build": 5, "api": 6, "daemonflags": 1, "daemonfile": 2,
    "daemonconfig": 5, "daemonreload": 6,
    "daemon": 7, "launcherd": 7, "registryd": 7, "ocicommand": 7,
}  # fmt: skip
CLIENT_SIDE = {"client", "compose", "cli"}
CLIENT_MAY_IMPORT = {
    "client": {"errors", "spec", "wire", "dockerfile", "__init__"},
    "compose": {"errors", "spec", "wire", "dockerfile", "client", "__init__"},
    "cli": {"errors", "spec", "wire", "dockerfile", "client", "compose", "__init__"},
}
# "never its neighbours (except where written)": level 0 is values that may build on one another.
NEIGHBOURS = {("spec", "errors"), ("dockerfile", "errors"), ("dockerfile", "spec")}
THIRD_PARTY = {
    "msgspec": "wire", "httptools": "api", "bcrypt": "registry", "yaml": "compose", "jsonschema_rs": "compose",
}  # fmt: skip


def _modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def _package(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the module in full"
            names.add(node.module or "")
            if node.module == "wharf":
                names.update(f"wharf.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    here = _package(path)
    assert here in LEVELS or here in CLIENT_SIDE, f"{here} has no level: add it to the table and to the architecture"
    for name in _imports(path):
        if not name.startswith("wharf."):
            continue
        there = name.split(".")[1]
        if there == "__version__" or there == here:
            continue
        if here in CLIENT_SIDE:
            assert there in CLIENT_MAY_IMPORT[here], f"{path}: the client side must not import wharf.{there}"
            continue
        assert there in LEVELS, f"{path}: imports wharf.{there}, which has no level"
        below = LEVELS[there] < LEVELS[here] or (here, there) in NEIGHBOURS or there == "__init__"
        assert below, f"{path}: {here} (level {LEVELS[here]}) imports {there} (level {LEVELS[there]})"


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_third_party_libraries_stay_where_they_belong(path: Path) -> None:
    here = _package(path)
    for name in _imports(path):
        owner = THIRD_PARTY.get(name.split(".")[0])
        assert owner is None or owner == here, f"{path}: {name} belongs to {owner}/"


def test_the_launcher_needs_the_standard_library_only() -> None:
    import subprocess
    import sys

    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); import wharf.launcherd; "
        "print(chr(10).join(getattr(m, '__file__', None) or '' for m in list(sys.modules.values())))"
    )
    out = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    strangers = [line for line in out.stdout.splitlines() if "site-packages" in line]
    assert not strangers, f"the launcher imports {strangers}"
