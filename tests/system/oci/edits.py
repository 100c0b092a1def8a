"""Changes of a configuration that tests make of a bundle's."""

from typing import Any

from tests.system.oci.lab import Config, Edit


def process(**more: Any) -> Edit:
    """Members of `process`."""
    return lambda config: config["process"].update(more)


def linux(**more: Any) -> Edit:
    """Members of `linux`."""
    return lambda config: config["linux"].update(more)


def top(**more: Any) -> Edit:
    """Members of the whole."""
    return lambda config: config.update(more)


def mount(target: str, kind: str, source: str, *options: str) -> Edit:
    """One more mount."""
    item = {"destination": target, "type": kind, "source": source, "options": list(options)}
    return lambda config: config["mounts"].append(item)


def namespace(kind: str, path: str = "") -> Edit:
    """A namespace, new or by its path."""

    def edit(config: Config) -> None:
        items = [item for item in config["linux"]["namespaces"] if item["type"] != kind]
        config["linux"]["namespaces"] = [*items, {"type": kind, **({"path": path} if path else {})}]

    return edit


def without(kind: str) -> Edit:
    """No namespace of a kind."""

    def edit(config: Config) -> None:
        config["linux"]["namespaces"] = [item for item in config["linux"]["namespaces"] if item["type"] != kind]
        if kind == "uts":
            del config["hostname"]

    return edit
