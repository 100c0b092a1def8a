"""A container with a user namespace: what only somebody outside of it can do, done by the monitor between two stages.

    monitor                                child (all namespaces new, no ids, no rights over the host)
      │ cgroup made, streams given away      │
      ├── clone3(NEWUSER | …) ──────────────▶│ waits
      │ cgroup joined, limits, oom, maps     │
      │ helper: root and binds as trees ──┐  │
      ├── `mapped` (the trees) ◀──────────┘─▶│ becomes root of its own; mounts them; goes on as any other

Snapshots and volumes store the ids of the image: the map is laid over their directories by an idmapped mount
(mount_setattr(2)), and the overlay is mounted on that. Nothing is ever chowned.
"""

import _socket
import errno
import os
import resource
import stat
from typing import Any, NoReturn

from wharf.kernel import caps, process
from wharf.kernel import mounts as mnt
from wharf.kernel import namespaces as ns
from wharf.kernel.cgroup import open_cgroup
from wharf.runtime import binds, credentials, messages
from wharf.runtime.mount_options import MountFailed, Options

MAX_BINDS = 200
"""Of one container with a user namespace: their descriptors go in one message (SCM_RIGHTS takes 253)."""
_LIMITS = {name: number for name, number in vars(resource).items() if name.startswith("RLIMIT_")}


class Trees:
    """Detached mounts made elsewhere: the root (-1: make it here), and binds by their index in `spec.mounts`."""

    def __init__(self, root: int, binds: dict[int, int]) -> None:
        self.root, self.binds = root, binds


def map_text(maps: list[dict[str, int]]) -> str:
    """`linux.uidMappings` as the kernel reads it (user_namespaces(7))."""
    return "".join(f"{item['containerID']} {item['hostID']} {item['size']}\n" for item in maps)


def outside(maps: list[dict[str, int]], inner: int = 0) -> int:
    """The id on the host of one inside; raises LookupError for one that is not mapped."""
    for item in maps:
        if item["containerID"] <= inner < item["containerID"] + item["size"]:
            return item["hostID"] + inner - item["containerID"]
    raise LookupError(f"id {inner} is not in the map")


def give_streams(maps: dict[str, Any], streams: "tuple[int, int, int]") -> None:
    """Give pipes to the container's root, which may open them again by /dev/stdout."""
    uid, gid = outside(maps["uid"]), outside(maps["gid"])
    for fd in set(streams):
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.fchown(fd, uid, gid)


# -- the monitor


def prepare(head: dict[str, Any], body: dict[str, Any]) -> None:
    """Before the clone: the cgroup with its limits, which a user namespace may not set."""
    if head["cgroup"]:
        open_cgroup(head["cgroup_mounts"], head["cgroup"]).create(body["spec"]["linux"].get("resources") or {})


def clone_inside(user: int, flags: int) -> tuple[int, int]:
    """clone3 in the user namespace `user` of another container: (0, -1) in the child, (pid, pidfd) here.

    Namespaces belong to the user namespace of who makes them, so somebody enters first, and clones from in there, as
    a sibling of its own. It cannot be traced on the way: its memory is still the monitor's.
    """
    ours, theirs = messages.pair()
    helper, helper_pidfd = ns.clone3()
    if helper == 0:
        _enter_and_clone(user, flags, theirs)
        return 0, -1
    theirs.close()
    os.close(helper_pidfd)
    try:
        answer, fds = messages.receive(ours)
    except messages.Closed:
        answer, fds = {"text": "the helper that enters it has died"}, []
    ours.close()
    os.waitpid(helper, 0)
    if "text" in answer:
        raise OSError(errno.EPERM, f"error joining the user namespace: {answer['text']}")
    return process.pid_of(fds[0]), fds[0]


def _enter_and_clone(user: int, flags: int, sync: _socket.socket) -> None:
    """Returns in the process that is cloned; the one that enters ends here."""
    pidfd = -1
    try:
        process.prctl(process.PR_SET_DUMPABLE, 0)
        ns.setns(user, ns.CLONE_NEWUSER)
        process.prctl(process.PR_SET_DUMPABLE, 0)  # changed credentials may have set it again
        pid, pidfd = ns.clone3(flags | ns.CLONE_PARENT)
    except OSError as error:
        _send_quietly(sync, {"op": "refused", "text": credentials.errno_text(error)})
        os._exit(1)
    if pid == 0:
        return
    _send_quietly(sync, {"op": "cloned"}, (pidfd,))
    os._exit(0)


def complete(pid: int, sync: _socket.socket, head: dict[str, Any], body: dict[str, Any]) -> None:
    """After the clone: everything that the child waits for; what fails is told to it, and it tells."""
    trees: list[int] = []
    try:
        _place(pid, head, body)
        if "user" not in head["join"]:
            _write_maps(pid, head["userns"])
        indexes, trees = _make_trees(pid, head, body)
        messages.send(sync, {"op": "mapped", "binds": indexes}, trees)
    except (OSError, LookupError, credentials.InitFailed) as error:
        text = error.text if isinstance(error, credentials.InitFailed) else str(error)
        _send_quietly(sync, {"op": "refused", "text": f"error setting up the user namespace: {text}"})
    finally:
        messages.close_all(trees)


def _send_quietly(sync: _socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    try:
        messages.send(sync, message, fds)
    except (messages.Closed, OSError):
        return


def _place(pid: int, head: dict[str, Any], body: dict[str, Any]) -> None:
    """cgroup, score and limits: each needs a right over the host that a raise from inside would not have."""
    spec = body["spec"]["process"]
    if head["cgroup"]:
        for fd in open_cgroup(head["cgroup_mounts"], head["cgroup"]).join_fds():
            try:
                os.write(fd, str(pid).encode())
            finally:
                os.close(fd)
    if spec.get("oomScoreAdj") is not None:
        with open(f"/proc/{pid}/oom_score_adj", "w") as file:
            file.write(str(spec["oomScoreAdj"]))
    for item in spec.get("rlimits") or ():
        number = _LIMITS.get(item["type"])
        if number is not None:
            soft, hard = (-1 if value >= (1 << 63) - 1 else value for value in (item["soft"], item["hard"]))
            try:
                resource.prlimit(pid, number, (soft, hard))
            except (OSError, ValueError):
                continue  # the child tries again and says it in the words of the runtime


def _write_maps(pid: int, maps: dict[str, list[dict[str, int]]]) -> None:
    for kind in ("uid", "gid"):
        fd = os.open(f"/proc/{pid}/{kind}_map", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, map_text(maps[kind]).encode())
        finally:
            os.close(fd)


def _make_trees(pid: int, head: dict[str, Any], body: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Indexes of the binds, and descriptors: the root's, then theirs. In a helper, for the root needs mounts."""
    ours, theirs = messages.pair()
    userns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    helper, pidfd = ns.clone3()
    if helper == 0:
        _help(theirs, userns, head, body)
    theirs.close()
    os.close(userns)
    try:
        answer, fds = messages.receive(ours)
    except messages.Closed:
        raise credentials.InitFailed("the helper that mounts for it has died") from None
    finally:
        ours.close()
        os.waitpid(helper, 0)
        os.close(pidfd)
    if "text" in answer:
        raise credentials.InitFailed(answer["text"])
    return answer["binds"], fds


def _help(sync: _socket.socket, userns: int, head: dict[str, Any], body: dict[str, Any]) -> NoReturn:
    try:
        process.prctl(process.PR_SET_DUMPABLE, 0)
        indexes, trees = [], []
        for index, item in enumerate(body["spec"]["mounts"]):
            options = Options(list(item.get("options") or ()))
            bind = bool(options.flags & mnt.MS_BIND) or item.get("type") == "bind"
            # The /dev/shm that is shared comes from another container; layers of images come below.
            if bind and item["source"].startswith("/") and item["source"] not in body["images"]:
                indexes.append(index)
                trees.append(binds.clone(item, options, userns))
        ns.unshare(ns.CLONE_NEWNS)
        mnt.mount("none", "/", None, mnt.MS_REC | mnt.MS_PRIVATE)
        for index, tree in binds.image_trees(body, userns).items():
            indexes.append(index)
            trees.append(tree)
        if len(trees) > MAX_BINDS:
            raise credentials.InitFailed(f"more than {MAX_BINDS} bind mounts with a user namespace")
        root = _root_tree(body, userns, head["userns"])
        messages.send(sync, {"op": "trees", "binds": indexes}, [root, *trees])
    except (OSError, MountFailed, credentials.InitFailed) as error:
        text = error.text if isinstance(error, credentials.InitFailed) else str(error)
        _send_quietly(sync, {"op": "trees", "text": text})
    finally:
        os._exit(0)


def _root_tree(body: dict[str, Any], userns: int, maps: dict[str, list[dict[str, int]]]) -> int:
    """The root as a detached mount: an idmapped view of the snapshots, and the overlay upon it."""
    base, layers = body["mount_point"], body["rootfs"].get("overlay")
    if not layers:
        tree = mnt.open_tree(body["rootfs"]["source"], mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC)
        mnt.set_id_map(tree, userns)
        return tree
    paths = [*layers["lower"], *(path for path in (layers["upper"], layers["work"]) if path)]
    top = os.path.commonpath(paths) if len(paths) > 1 else os.path.dirname(paths[0])
    view = mnt.open_tree(top, mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC)
    mnt.set_id_map(view, userns)
    mnt.move_mount(view, base)
    os.close(view)
    lower, upper, work = ([base + path[len(top) :] for path in group if path] for group in _groups(layers))
    _become_owner(outside(maps["uid"]), outside(maps["gid"]))
    options = layers["options"]
    mnt.overlay(lower, "".join(upper), "".join(work), base, options, body["overlay_append"])
    return mnt.open_tree(base, mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC)


def _groups(layers: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    return list(layers["lower"]), [layers["upper"]], [layers["work"]]


def _become_owner(uid: int, gid: int) -> None:
    """Overlayfs makes its own files as the one who mounts it, who must be in the map; all rights are kept."""
    held = caps.held()
    process.prctl(process.PR_SET_KEEPCAPS, 1)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    caps.apply(held, held, 0)


# -- the child


def await_maps(sync: _socket.socket) -> Trees:
    """Wait for the second stage and be root of the new user namespace; raises InitFailed."""
    message, fds = messages.receive(sync)
    if message["op"] != "mapped":
        raise credentials.InitFailed(message["text"])
    become_root()
    return Trees(fds[0], dict(zip(message["binds"], fds[1:], strict=True)))


def become_root() -> None:
    """Root of the user namespace entered: until then the process has rights, but no ids."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    # Changed credentials clear both (prctl(2)).
    process.prctl(process.PR_SET_DUMPABLE, 0)
    process.prctl(process.PR_SET_PDEATHSIG, 9)


def mount_root(root: int) -> None:
    """Put the tree made outside where this namespace may pivot to: its path on the host may not be in reach."""
    mnt.move_mount(root, "/")
    mnt.mount("none", f"/proc/self/fd/{root}", None, mnt.MS_PRIVATE)
