"""Completion of command lines: `wharf completion SHELL` prints a script, which asks `wharf __complete WORDS…`.

Verbs come from the tables of `main`, flags from a verb's own help, names from the daemon, when it answers.
"""

from __future__ import annotations

from wharf.cli import main
from wharf.cli.flags import Command, HelpWanted
from wharf.cli.session import Session
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

SHELLS = {
    "bash": r"""# wharf completion bash > /usr/share/bash-completion/completions/wharf
_wharf() {
    local IFS=$'\n'
    COMPREPLY=($(wharf __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _wharf wharf
""",
    "zsh": r"""#compdef wharf
# wharf completion zsh > "${fpath[1]}/_wharf"
_wharf() {
    local -a found
    found=("${(@f)$(wharf __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [ -n "$found" ]; then compadd -- $found; else _files; fi
}
compdef _wharf wharf
""",
    "fish": r"""# wharf completion fish > ~/.config/fish/completions/wharf.fish
function __wharf_complete
    set -l words (commandline -opc) (commandline -ct)
    wharf __complete $words[2..-1] 2>/dev/null
end
complete -c wharf -a '(__wharf_complete)'
""",
}
COMMAND = Command(
    "completion",
    "bash|zsh|fish",
    "Print the script that lets a shell complete wharf's command lines",
    operands=(1, 1),
    example="source <(wharf completion bash)",
)
_RUNNING = "exec attach stop restart kill pause top port stats logs debug"
_CONTAINERS = f"{_RUNNING} start unpause rm wait rename diff cp export commit update inspect"
_IMAGES = "run create rmi tag history save push"
# noun -> where its names are, and the member that has them
_NOUNS = {
    "container": "/containers/json", "image": "/images/json", "volume": "/volumes", "network": "/networks",
}  # fmt: skip


def completion(session: Session, args: list[str]) -> int:
    """Prints a shell's script."""
    _, (shell,) = COMMAND.parse(args)
    if shell not in SHELLS:
        raise COMMAND.error(f'unknown shell "{shell}": bash, zsh and fish are there', 1)
    session.write(SHELLS[shell])
    return 0


def complete(session: Session, args: list[str]) -> int:
    """`wharf __complete WORDS…`: what the last word, which may be empty, could become, a line each. Never complains."""
    *before, word = args or [""]
    for text in sorted({text for text in _candidates(session, before, word) if text.startswith(word)}):
        session.line(text)
    return 0


def _candidates(session: Session, before: list[str], word: str) -> Iterable[str]:
    verbs = _without_options(session, before)
    if not verbs:
        return (*main.VERBS, *main.NOUNS) if not word.startswith("-") else _global_flags()
    noun = verbs[0] if verbs[0] in main.NOUNS else ""
    if noun and len(verbs) == 1:
        return main.NOUNS[noun]
    place = main.NOUNS[noun].get(verbs[1]) if noun else (main.VERBS.get(verbs[0], ""), verbs[0])
    if not place or not place[0]:
        return ()
    if word.startswith("-"):
        return flags_of(*place)
    return _names(session, noun, verbs[1] if noun else verbs[0])


def _without_options(session: Session, words: list[str]) -> list[str]:
    """The words from the verb on; -H and --context before it count for where names are asked for."""
    position = 0
    takes = (*main.TAKES_VALUE, *main.TLS_FILES)
    while position < len(words) and words[position].startswith("-"):
        name, equals, value = words[position].partition("=")
        position += 1
        if name in takes and not equals:
            value = words[position] if position < len(words) else ""
            position += 1
        if name in main.TAKES_VALUE:
            setattr(session, main.TAKES_VALUE[name], value)
    return words[position:]


def _global_flags() -> list[str]:
    long = [name for name in (*main.TAKES_VALUE, *main.TLS_FILES, *main.TLS_SWITCHES) if name.startswith("--")]
    return [*long, "--debug", "--help", "--version"]


def flags_of(module: str, function: str) -> list[str]:
    """The long flags of a verb, as its help lists them."""
    try:
        loaded = __import__(f"wharf.cli.{module}", fromlist=[function])
        getattr(loaded, function + "_" if function == "import" else function)(Session(), ["--help"])
    except HelpWanted as wanted:
        options = wanted.message.partition("Options:\n")[2].partition("\n\n")[0]
        words = (line[6:].split(" ", 1)[0] for line in options.split("\n") if line[6:8] == "--")
        return [*words, "--help"]
    return []


def _names(session: Session, noun: str, verb: str) -> Iterable[str]:
    """Names of what the verb works on; none when no daemon answers: completion starts none."""
    from wharf.client.api import Client

    kind = noun or ("container" if verb in _CONTAINERS.split() else "image" if verb in _IMAGES.split() else "")
    if verb in ("create", "ls", "list", "prune", "build", "bootstrap", "serve") and noun:
        kind = ""
    if (noun, verb) in (("container", "run"), ("container", "create")):
        kind = "image"
    if noun == "context":
        from wharf.cli.contexts import Store

        return Store(session.config).names()
    if kind not in _NOUNS:
        return ()
    try:
        client = Client(session.address())
        found: Any = client.get(_NOUNS[kind], all=kind == "container" and verb not in _RUNNING.split())
        client.close()
    except (WharfError, OSError):
        return ()
    return _words(kind, found)


def _words(kind: str, found: Any) -> list[str]:
    if kind == "container":
        return [name.lstrip("/") for item in found for name in item["Names"]]
    if kind == "image":
        return [name for item in found for name in item.get("RepoTags") or () if name != "<none>:<none>"]
    return [item["Name"] for item in (found.get("Volumes") or () if kind == "volume" else found)]
