"""Platforms (OCI image specification, image-index.md)."""

from dataclasses import dataclass

MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}


@dataclass(frozen=True, slots=True)
class Platform:
    """Operating system, architecture in Go's words, and variant (may be empty)."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Parse `os/arch[/variant]` or `arch`; raises Invalid."""
        from wharf.errors import Invalid

        parts = text.lower().split("/")
        if len(parts) > 3 or not all(part.replace("-", "").replace("_", "").isalnum() for part in parts):
            raise Invalid(f"{text[:100]!r}: invalid platform specifier, expected os/architecture[/variant]")
        if len(parts) == 1:
            return cls(architecture=MACHINES.get(parts[0], parts[0]))
        return cls(parts[0], MACHINES.get(parts[1], parts[1]), parts[2] if len(parts) == 3 else "")

    def matches(self, other: "Platform") -> bool:
        """Whether an image of `other` is one of this platform; a variant counts where it is asked for."""
        return (self.os, self.architecture) == (other.os, other.architecture) and self.variant in ("", other.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def of_machine(machine: str) -> Platform:
    """The platform of a `uname -m` machine name."""
    return Platform(architecture=MACHINES.get(machine, machine))
