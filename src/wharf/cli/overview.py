"""The help of `wharf` itself and of its nouns; docker's verbs by noun, to tell what is not there yet."""

COMMON = (
    ("run", "Create and run a new container from an image"),
    ("exec", "Execute a command in a running container"),
    ("ps", "List containers"),
    ("logs", "Fetch the logs of a container"),
    ("pull", "Download an image from a registry"),
    ("push", "Upload an image to a registry"),
    ("images", "List images"),
    ("login", "Authenticate to a registry"),
    ("logout", "Log out from a registry"),
    ("search", "Search Docker Hub for images"),
    ("image bootstrap", "Make a base image from the distribution's package archive"),
    ("version", "Show the version information"),
    ("info", "Display system-wide information"),
)
OTHERS = (
    ("attach", "Attach local standard input, output, and error streams to a running container"),
    ("commit", "Create a new image from a container's changes"),
    ("completion", "Print the script that lets a shell complete wharf's command lines"),
    ("cp", "Copy files/folders between a container and the local filesystem"),
    ("create", "Create a new container"),
    ("debug", "Open a shell with tools beside a running container"),
    ("diff", "Inspect changes to files or directories on a container's filesystem"),
    ("events", "Get real time events from the server"),
    ("export", "Export a container's filesystem as a tar archive"),
    ("history", "Show the history of an image"),
    ("import", "Import the contents from a tarball to create a filesystem image"),
    ("inspect", "Return low-level information on Docker objects"),
    ("kill", "Kill one or more running containers"),
    ("load", "Load an image from a tar archive or STDIN"),
    ("pause", "Pause all processes within one or more containers"),
    ("port", "List port mappings or a specific mapping for the container"),
    ("registry", "Serve a registry of images; its users and rights"),
    ("rename", "Rename a container"),
    ("restart", "Restart one or more containers"),
    ("rm", "Remove one or more containers"),
    ("rmi", "Remove one or more images"),
    ("save", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    ("start", "Start one or more stopped containers"),
    ("stats", "Display a live stream of container(s) resource usage statistics"),
    ("stop", "Stop one or more running containers"),
    ("tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    ("top", "Display the running processes of a container"),
    ("unpause", "Unpause all processes within one or more containers"),
    ("update", "Update configuration of one or more containers"),
    ("wait", "Block until one or more containers stop, then print their exit codes"),
)
NOUN_SUMMARY = {
    "builder": "Manage builds",
    "context": "Manage contexts",
    "plugin": "Manage plugins",
    "container": "Manage containers",
    "image": "Manage images",
    "manifest": "Manage image manifests",
    "network": "Manage networks",
    "system": "Manage the daemon",
    "volume": "Manage volumes",
}
DOCKER_VERBS = {
    "builder": "bake create dial-stdio history imagetools inspect rm stop use version",
    "context": "",
    "plugin": "create install push set upgrade",
    "container": "",
    "image": "",
    "network": "",
    "system": "",
    "volume": "update",
}
_ALIASES = ("list", "ps", "remove")
_NOUN_VERBS = {
    "builder": (
        ("build", "Build an image from a Dockerfile"),
        ("du", "Disk usage of the build cache"),
        ("ls", "List the build cache"),
        ("prune", "Remove build cache"),
    ),
    "context": (
        ("create", "Create a context"),
        ("export", "Export a context to a tar archive FILE or a tar stream on STDOUT."),
        ("import", "Import a context from a tar or zip file"),
        ("inspect", "Display detailed information on one or more contexts"),
        ("ls", "List contexts"),
        ("rm", "Remove one or more contexts"),
        ("show", "Print the name of the current context"),
        ("update", "Update a context"),
        ("use", "Set the default context"),
    ),
    "plugin": (
        ("disable", "Disable a plugin"),
        ("enable", "Enable a plugin"),
        ("inspect", "Display detailed information on one or more plugins"),
        ("ls", "List plugins"),
        ("rm", "Remove one or more plugins"),
    ),
    "system": (
        ("check", "Say what records and host say differently, and mend it"),
        ("df", "Show docker disk usage"),
        ("dial-stdio", "Proxy the stdio stream to the daemon connection"),
        ("events", "Get real time events from the server"),
        ("info", "Display system-wide information"),
        ("prune", "Remove unused data"),
    ),
    "container": (
        ("inspect", "Display detailed information on one or more containers"),
        ("ls", "List containers"),
        ("prune", "Remove all stopped containers"),
    ),
    "image": (
        ("bootstrap", "Make a base image from the distribution's package archive"),
        ("serve", "Let others pull this engine's images: a registry, read only, over its store"),
        ("inspect", "Display detailed information on one or more images"),
        ("ls", "List images"),
        ("prune", "Remove unused images"),
        ("rm", "Remove one or more images"),
    ),
    "manifest": (
        ("annotate", "Add additional information to a local image manifest"),
        ("create", "Create a local manifest list for annotating and pushing to a registry"),
        ("inspect", "Display an image manifest, or manifest list"),
        ("push", "Push a manifest list to a repository"),
        ("rm", "Delete one or more manifest lists from local storage"),
    ),
    "network": (
        ("connect", "Connect a container to a network"),
        ("create", "Create a network"),
        ("disconnect", "Disconnect a container from a network"),
        ("inspect", "Display detailed information on one or more networks"),
        ("ls", "List networks"),
        ("prune", "Remove all unused networks"),
        ("rm", "Remove one or more networks"),
    ),
    "volume": (
        ("create", "Create a volume"),
        ("inspect", "Display detailed information on one or more volumes"),
        ("ls", "List volumes"),
        ("prune", "Remove unused local volumes"),
        ("rm", "Remove one or more volumes"),
    ),
}


def _rows(rows: tuple[tuple[str, str], ...]) -> str:
    width = max(len(name) for name, _ in rows) + 2
    return "".join(f"  {name.ljust(width)}{text}\n" for name, text in rows)


def overview() -> str:
    """The text of `wharf --help`."""
    return (
        "Usage:  wharf [OPTIONS] COMMAND\n\nA container engine that speaks Docker\n\n"
        f"Common Commands:\n{_rows(COMMON)}\n"
        f"Management Commands:\n{_rows(tuple(NOUN_SUMMARY.items()))}\n"
        f"Commands:\n{_rows(OTHERS)}\n"
        "Global Options:\n"
        "      --config string   Location of docker's client config files (default ~/.docker)\n"
        "  -c, --context string  Name of the docker context to use (overrides DOCKER_HOST)\n"
        "  -H, --host string     Daemon to connect to (unix:///path, tcp://host:port or ssh://user@host)\n"
        "      --tls, --tlsverify, --tlscacert, --tlscert, --tlskey   TLS as docker's client knows it\n"
        "  -v, --version         Print version information and quit\n\n"
        "Example:\n  wharf image bootstrap busybox && wharf run --rm -it busybox sh\n\n"
        "Run 'wharf COMMAND --help' for more information on a command.\n"
    )


def noun_help(noun: str, verbs: list[str]) -> str:
    """The text of `wharf NOUN --help`."""
    verbs = [verb for verb in verbs if verb not in _ALIASES]
    known = {**dict(COMMON), **dict(OTHERS), **dict(_NOUN_VERBS.get(noun, ()))}
    rows = tuple((verb, known[verb]) for verb in verbs if verb in known)
    return (
        f"Usage:  wharf {noun} COMMAND\n\n{NOUN_SUMMARY[noun]}\n\nCommands:\n{_rows(rows)}\n"
        f"Run 'wharf {noun} COMMAND --help' for more information on a command.\n"
    )
