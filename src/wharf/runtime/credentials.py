"""Giving up privileges: limits, capabilities, user, filter; then execve. The end of every start, exec or not.

The order is runc's: the filter goes on while CAP_SYS_ADMIN is still held, unless no_new_privs is set, when it
goes on last, so that a strict filter need not allow the calls that drop privileges.
"""

import _signal  # type: ignore[import-not-found]
import errno
import os
import resource
import stat
from typing import Any, NoReturn

from wharf.kernel import caps, process, seccomp
from wharf.runtime.users import Identity, UnknownUser, resolve

EXIT_EXEC_FAILED = 255
_IGNORED = (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGCHLD, _signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)
_LIMITS = {name: number for name, number in vars(resource).items() if name.startswith("RLIMIT_")}


class InitFailed(Exception):
    """A first process could not be made; `text` is runc's wording, `bare` texts are Docker's own and get no prefix."""

    def __init__(self, text: str, bare: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.bare = bare


def errno_text(error: OSError) -> str:
    """The error as Go words it: lower case, without a number."""
    return os.strerror(error.errno or 0).lower()


def identity(spec: dict[str, Any], user: str | None, groups: list[str]) -> Identity:
    """Who the process will be, looked up in the root that is "/" now."""
    if user is not None:
        try:
            return resolve(user, groups)
        except UnknownUser as error:
            raise InitFailed(str(error), bare=True) from None
    wanted = spec.get("user") or {}
    uid = wanted.get("uid", 0)
    home = resolve(str(uid), []).home
    return Identity(uid, wanted.get("gid", 0), list(wanted.get("additionalGids") or ()), home)


def set_limits(limits: list[dict[str, Any]], step: str = "") -> None:
    """setrlimit(2) for each of `process.rlimits`; `step` begins the words of a failure."""
    for item in limits:
        number = _LIMITS.get(item["type"])
        if number is None:
            raise InitFailed(f'invalid rlimit type: "{item["type"]}"')
        try:
            resource.setrlimit(number, (_limit(item["soft"]), _limit(item["hard"])))
        except (ValueError, OSError) as error:
            code = error.errno if isinstance(error, OSError) else errno.EPERM
            raise InitFailed(f"{step}error setting rlimit type {number}: {os.strerror(code or 1).lower()}") from None


def _limit(value: int) -> int:
    return -1 if value < 0 or value >= (1 << 63) - 1 else value


def own_streams(uid: int) -> None:
    """Give the standard streams to the user, so that /dev/stdout can be opened; devices other than terminals stay."""
    null = os.makedev(1, 3)
    for fd in (0, 1, 2):
        status = os.fstat(fd)
        if status.st_uid == uid or status.st_rdev == null:
            continue
        try:
            os.fchown(fd, uid, -1)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM, errno.EROFS):
                raise


def become(spec: dict[str, Any], who: Identity, held: int, last_capability: int, program: bytes) -> None:
    """Take on user, capabilities and filter of an OCI process object; `held` is the mask this host has to give."""
    sets = spec.get("capabilities") or {}
    bounding, permitted = caps.mask(sets.get("bounding") or ()), caps.mask(sets.get("permitted") or ())
    effective, inheritable = caps.mask(sets.get("effective") or ()), caps.mask(sets.get("inheritable") or ())
    no_new_privileges = bool(spec.get("noNewPrivileges"))
    if program and not no_new_privileges:
        seccomp.install(program)
    caps.drop_bounding(bounding, last_capability)
    process.prctl(process.PR_SET_KEEPCAPS, 1)
    os.setgroups(who.groups)
    os.setresgid(who.gid, who.gid, who.gid)
    os.setresuid(who.uid, who.uid, who.uid)
    process.prctl(process.PR_SET_KEEPCAPS, 0)
    if who.uid != 0 and not sets.get("ambient"):
        effective = permitted = 0
    caps.apply(effective & permitted & held, permitted & held, inheritable & held)
    if sets.get("ambient"):
        caps.set_ambient(caps.mask(sets["ambient"]) & held)
    # Changed credentials clear it (prctl(2)).
    process.prctl(process.PR_SET_PDEATHSIG, _signal.SIGKILL)
    if no_new_privileges:
        process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)
        if program:
            seccomp.install(program)


class Labels:
    """The label and the profile that the next execve puts on. Their files are opened here, while the host's /proc is in
    sight: a container's own may be anything, also a plain file that takes every word (CVE-2019-16884).

    A process may write through them itself only, up to its execve (proc_pid_attr(5)). Raises InitFailed.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._opened: list[tuple[int, str, str]] = []
        label, profile = spec.get("selinuxLabel"), spec.get("apparmorProfile")
        if label:
            self._open("exec", label, f"error setting the process label {label}")
        if profile and profile != "unconfined":
            self._open("apparmor/exec", f"exec {profile}", f"unable to apply apparmor profile: {profile}")

    def _open(self, name: str, text: str, failure: str) -> None:
        try:
            self._opened.append((os.open(f"/proc/self/attr/{name}", os.O_WRONLY | os.O_CLOEXEC), text, failure))
        except OSError as error:
            raise InitFailed(f"{failure}: {errno_text(error)}") from None

    def put_on(self) -> None:
        """Ask for them."""
        for fd, text, failure in self._opened:
            try:
                os.write(fd, text.encode())
            except OSError as error:
                raise InitFailed(f"{failure}: {errno_text(error)}") from None
            os.close(fd)


def confine(spec: dict[str, Any]) -> None:
    """The label and the profile that the next execve puts on; while the host's /proc is in sight, not a container's."""
    Labels(spec).put_on()


def enter_directory(path: str) -> None:
    """chdir, with runc's words."""
    try:
        os.chdir(path)
    except OSError as error:
        raise InitFailed(f'chdir to cwd ("{path}") set in config.json failed: {errno_text(error)}') from None


def environment(entries: list[str], home: str) -> dict[str, str]:
    """`process.env` in its order, the last of equal names winning; HOME is added when it is not there."""
    result: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if equals and name:
            result[name] = value
    if not result.get("HOME"):
        result["HOME"] = home
    return result


def find_program(name: str, path: str) -> str:
    """What Go's exec.LookPath finds, with its errors: the clients of Docker read their words."""
    if "/" in name:
        problem = _not_executable(name)
        if problem:
            raise InitFailed(f'exec: "{name}": {problem}')
        return name
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if name and _not_executable(candidate) is None:
            return candidate
    raise InitFailed(f'exec: "{name}": executable file not found in $PATH')


def _not_executable(path: str) -> str | None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"stat {path}: {errno_text(error)}"
    if stat.S_ISDIR(mode):
        return "is a directory: permission denied"
    return None if os.access(path, os.X_OK, effective_ids=True) else "permission denied"


def default_signals() -> None:
    """Undo what the interpreter and the launcher ignore: ignored signals survive execve."""
    for number in _IGNORED:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def execute(program: str, arguments: list[str], env: dict[str, str]) -> NoReturn:
    """execve; when it fails now, the container has started already: say so on its stderr and end with 255."""
    try:
        os.execve(program, arguments, env)
    except OSError as error:
        os.write(2, f"exec {program}: {errno_text(error)}\n".encode("utf-8", "surrogateescape"))
    os._exit(EXIT_EXEC_FAILED)
