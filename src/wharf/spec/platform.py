"""Platforms (OCI image specification, image-index.md), and how people write them (containerd's platforms package)."""

import os
import re
from dataclasses import dataclass

from wharf.errors import Invalid

MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
_SYSTEMS = frozenset(
    """
    aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos
    """.split()  # noqa: SIM905
)
_ARCHITECTURES = frozenset(
    """
    386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64
    ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm
    """.split()  # noqa: SIM905
)
_ALIASES = {**MACHINES, "x86-64": "amd64", "i386": "386", "armhf": "arm", "armel": "arm"}
_VARIANTS = {("amd64", "v1"): "", ("arm", "7"): "v7", ("arm", "6"): "v6", ("arm", "5"): "v5", ("arm64", "8"): "v8"}
_SYSTEM = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$"
_PART = "^[A-Za-z0-9_.-]+$"


@dataclass(frozen=True, slots=True)
class Platform:
    """Operating system, architecture in Go's words, and variant (may be empty)."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Parse `os`, `arch` or `os/arch[/variant]`; what is not said is this machine's. Raises Invalid in containerd's
        words."""
        parts = text.split("/")
        _check_parts(text, parts)
        first = parts[0].partition("(")[0].lower()
        if len(parts) == 1:
            if first in _SYSTEMS:
                return cls(first, of_machine(os.uname().machine).architecture)
            architecture, variant = _architecture(first, "")
            if architecture not in _ARCHITECTURES:
                raise Invalid(f'"{text[:100]}": unknown operating system or architecture: invalid argument')
            return cls("linux", architecture, variant)
        if len(parts) > 3:
            raise Invalid(f'"{text[:100]}": cannot parse platform specifier: invalid argument')
        return cls(first, *_architecture(parts[1].lower(), parts[2].lower() if len(parts) == 3 else ""))

    def matches(self, other: "Platform") -> bool:
        """Whether an image of `other` is one of this platform; a variant counts where it is asked for."""
        return (self.os, self.architecture) == (other.os, other.architecture) and self.variant in ("", other.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def of_machine(machine: str) -> Platform:
    """The platform of a `uname -m` machine name."""
    return Platform(architecture=MACHINES.get(machine, machine))


def _check_parts(text: str, parts: list[str]) -> None:
    if "*" in text:
        raise Invalid(f'"{text[:100]}": wildcards not yet supported: invalid argument')
    for index, part in enumerate(parts):
        pattern = _PART if index else _SYSTEM
        if not re.match(pattern.replace("$", r"\Z"), part):
            kind = "component" if index else "OS component"
            what = "platform specifier" if index else "OSAndVersion specifier"
            shown = pattern.replace("\\", "\\\\")
            raise Invalid(
                f'"{part[:100]}" is an invalid {kind} of "{text[:100]}": {what} component must match "{shown}": '
                "invalid argument"
            )


def _architecture(name: str, variant: str) -> tuple[str, str]:
    """In Go's words; a variant that goes without saying is left out."""
    if name == "armel" and not variant:
        variant = "v6"
    architecture = _ALIASES.get(name, name)
    return architecture, _VARIANTS.get((architecture, variant), variant)
