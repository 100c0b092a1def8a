"""Compose projects: `from wharf.compose import Project` (docs/flow-compose.md)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wharf.compose.project import Project as Project


def __getattr__(name: str) -> object:
    # Late: `wharf compose ps -p NAME` needs neither YAML nor the schema.
    if name == "Project":
        from wharf.compose.project import Project

        return Project
    raise AttributeError(name)
