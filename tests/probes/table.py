"""The probes, by what they look at; `tests.probes.probe` says what one is."""

from tests.probes.probe import NO_NETWORK, Probe


def _sysadmin(name: str, program: str) -> Probe:
    return Probe(name, program, opened=("--cap-add", "SYS_ADMIN"))


def _filter(name: str, program: str) -> Probe:
    return Probe(name, program, opened=("--security-opt", "seccomp=unconfined"))


CAPABILITIES = (
    Probe(
        "capability sets",
        """
        print(*[line for line in read("/proc/self/status").splitlines() if line.startswith("Cap")], sep="\\n")
        """,
        opened=("--cap-add", "SYS_ADMIN"),
    ),
    _sysadmin("mount", 'show("mount", lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, None))'),
    _sysadmin("unmount", 'show("umount", lambda: call(166, b"/dev/shm", 0))'),
    _sysadmin("new mount interface", 'show("fsopen", lambda: os.close(call(430, b"tmpfs", 0)))'),
    _sysadmin("host name", 'show("sethostname", lambda: call(170, b"renamed", 7))'),
    _sysadmin("new mount namespace", 'show("unshare", lambda: call(272, 0x20000))'),
    _sysadmin("enter a namespace", 'show("setns", lambda: call(308, os.open("/proc/self/ns/uts", 0), 0))'),
    _sysadmin("load a program into the kernel", 'show("bpf", lambda: call(321, 9999, None, 0))'),
    Probe(
        "network settings",
        """
        link = socket.socket()
        import fcntl
        show("mtu of lo", lambda: fcntl.ioctl(link, 0x8922, struct.pack("16si12x", b"lo", 1400)))
        """,
        opened=("--cap-add", "NET_ADMIN"),
    ),
    Probe(
        "raw sockets",
        """
        show("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close())
        show("icmp", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close())
        """,
        guarded=("--cap-drop", "NET_RAW"),
        opened=(),
    ),
    Probe(
        "change of owner",
        'open("/tmp/f", "w").close(); show("chown", lambda: os.chown("/tmp/f", 7, 7))',
        guarded=("--cap-drop", "CHOWN"),
        opened=(),
    ),
    Probe("change of user", 'show("setuid", lambda: os.setuid(7))', guarded=("--cap-drop", "SETUID"), opened=()),
    Probe(
        "change of root", 'show("chroot", lambda: os.chroot("/tmp"))', guarded=("--cap-drop", "SYS_CHROOT"), opened=()
    ),
    Probe(
        "device nodes",
        'show("mknod", lambda: os.mknod("/tmp/n", stat.S_IFCHR | 0o600, os.makedev(1, 3)))',
        guarded=("--cap-drop", "MKNOD"),
        opened=(),
    ),
    Probe(
        "files of others",
        """
        open("/tmp/f", "w").close(); os.chmod("/tmp/f", 0o600); os.chown("/tmp/f", 7, 7)
        show("open", lambda: opens("/tmp/f", os.O_RDWR))
        """,
        guarded=("--cap-drop", "DAC_OVERRIDE"),
        opened=(),
    ),
    Probe("clock", 'show("clock_settime", lambda: call(227, 1, bytes(16)))', opened=("--cap-add", "SYS_TIME")),
    Probe("kernel log", 'show("syslog", lambda: call(103, 10, None, 0))', opened=("--cap-add", "SYSLOG")),
    Probe("priority", 'show("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))', opened=("--cap-add", "SYS_NICE")),
    Probe(
        "file handles",
        'show("open_by_handle_at", lambda: call(304, -1, None, 0))',
        opened=("--cap-add", "DAC_READ_SEARCH"),
    ),
    Probe("ports of the machine", 'show("iopl", lambda: call(172, 0))', opened=("--cap-add", "SYS_RAWIO")),
    Probe(
        "performance events",
        'show("perf_event_open", lambda: call(298, None, 0, -1, -1, 0))',
        opened=("--cap-add", "PERFMON"),
    ),
    Probe(
        "capabilities of a user who is not root",
        """
        print(*[line for line in read("/proc/self/status").splitlines() if line.startswith(("Cap", "Uid"))], sep="\\n")
        show("write", lambda: opens("/etc/passwd", os.O_WRONLY))
        """,
        guarded=("-u", "app"),
        opened=("-u", "root"),
    ),
    Probe(
        "no new privileges",
        """
        import shutil
        shutil.copy("/usr/bin/python3", "/tmp/p"); os.chmod("/tmp/p", 0o4755)
        if not os.fork():
            os.setgid(1000); os.setuid(1000)
            os.execv("/tmp/p", ["/tmp/p", "-I", "-S", "-c", "import os; print('euid', os.geteuid())"])
        os.wait()
        """,
        guarded=("--security-opt", "no-new-privileges"),
        opened=(),
    ),
)

FILTER = (
    _filter("filter mode", 'print(*re.findall("Seccomp:.*", read("/proc/self/status")))'),
    _filter("new user namespace", 'show("unshare", lambda: call(272, 0x10000000))'),
    _filter("clone3", 'show("clone3", lambda: call(435, None, 0))'),
    _filter(
        "keyrings",
        """
        show("keyctl", lambda: call(250, 9999, 0, 0, 0, 0))
        show("add_key", lambda: call(248, None, None, None, 0, 0))
        """,
    ),
    _filter(
        "personality", 'show("no randomization", lambda: call(135, 0x0040000)); show("linux32", lambda: call(135, 8))'
    ),
    _filter(
        "virtual machine sockets", 'show("vsock", lambda: call(41, 40, 1, 0)); show("inet", lambda: call(41, 2, 1, 0))'
    ),
    _filter("page faults in user space", 'show("userfaultfd", lambda: call(323, 1))'),
    _filter("io_uring", 'show("io_uring_setup", lambda: call(425, 0, None))'),
    _filter(
        "process of one's own",
        'show("ptrace", lambda: call(101, 0, 0, 0, 0)); print(*re.findall("Seccomp:.*", read("/proc/self/status")))',
    ),
    _filter(
        "rarely used calls",
        """
        for name, number in {"lookup_dcookie": 212, "nfsservctl": 180, "get_kernel_syms": 177, "ustat": 136,
                             "sysfs": 139, "move_pages": 279, "vmsplice": 278, "kcmp": 312}.items():
            show(name, lambda: call(number, -1, None, None, 0, 0, 0))
        """,
    ),
)

PATHS = (
    Probe(
        "masked files",
        """
        for name in ("kcore", "keys", "timer_list", "interrupts", "latency_stats", "sched_debug", "timer_stats"):
            path = "/proc/" + name
            if os.path.exists(path):
                info = os.stat(path)
                print(name, "masked" if stat.S_ISCHR(info.st_mode) and info.st_rdev == os.makedev(1, 3) else "there")
        """,
        opened=("--security-opt", "systempaths=unconfined"),
    ),
    Probe(
        "masked directories",
        """
        mounted = {line.split()[4]: line.split(" - ")[1].split()[0] for line in open("/proc/self/mountinfo")}
        for path in ("/proc/acpi", "/proc/scsi", "/proc/asound", "/sys/firmware", "/sys/devices/virtual/powercap"):
            if os.path.exists(path):
                print(path, mounted.get(path, "not covered"), "" if os.listdir(path) else "empty")
        """,
        opened=("--security-opt", "systempaths=unconfined"),
    ),
    Probe(
        "read-only paths",
        """
        for path in ("/proc/sys/kernel/domainname", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
                     "/proc/sys/net/ipv4/ip_default_ttl"):
            show(path, lambda: opens(path, os.O_WRONLY))
        """,
        opened=("--security-opt", "systempaths=unconfined"),
    ),
    Probe(
        "setting of one's own network namespace",
        """
        def write():
            with open("/proc/sys/net/ipv4/ip_default_ttl", "w") as file:
                file.write("65")
        show("write", write)
        """,
        opened=("--security-opt", "systempaths=unconfined"),
    ),
    Probe("/sys", 'show("mtu of lo", lambda: opens("/sys/class/net/lo/mtu", os.O_WRONLY))', opened=("--privileged",)),
    Probe(
        "control groups",
        """
        tree = "/sys/fs/cgroup/pids" if os.path.isdir("/sys/fs/cgroup/pids") else "/sys/fs/cgroup"
        show("mkdir", lambda: (os.mkdir(tree + "/probe"), os.rmdir(tree + "/probe")))
        """,
        opened=("--privileged",),
    ),
    Probe(
        "mounts and their options",
        """
        wanted = ("/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/proc/sys",
                  "/proc/bus", "/proc/sysrq-trigger")
        for line in sorted(open("/proc/self/mountinfo"), key=lambda line: line.split()[4]):
            fields, rest = line.split(), line.split(" - ")[1].split()
            if fields[4] in wanted:
                print(fields[4], rest[0], ",".join(sorted(fields[5].split(","))))
        """,
        opened=("--privileged",),
    ),
    Probe(
        "no other mounts",
        """
        known = re.compile("/(proc|dev|sys|usr|lib|lib64|etc/(hosts|hostname|resolv.conf))?(/.*)?$")
        print(sorted({line.split()[4] for line in open("/proc/self/mountinfo") if not known.match(line.split()[4])}))
        """,
        opened=("--tmpfs", "/extra"),
    ),
    Probe("read-only root", 'show("write", lambda: open("/x", "w").close())', guarded=("--read-only",), opened=()),
    Probe(
        "read-only bind",
        """
        show("write", lambda: open("/m/x", "w").close())
        show("remount", lambda: call(165, None, b"/m", None, 0x1020, None))
        """,
        guarded=("-v", "{home}:/m:ro"),
        opened=("-v", "{home}:/m"),
    ),
    Probe(
        "programs in shared memory",
        """
        with open("/dev/shm/p", "w") as file:
            file.write("#!/bin/sh\\n")
        os.chmod("/dev/shm/p", 0o755)
        pid = os.fork()
        if not pid:
            show("exec", lambda: os.execv("/dev/shm/p", ["p"]))
            os._exit(1)
        print("code", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
        opened=("--tmpfs", "/dev/shm:rw,exec"),
    ),
    Probe(
        "size of shared memory",
        """
        with open("/dev/shm/f", "wb", buffering=0) as file:
            show("write 4 MB", lambda: [file.write(bytes(1 << 20)) for _ in range(4)])
            print(file.tell() >> 20, "MB")
        """,
        guarded=("--shm-size", "1m"),
        opened=("--shm-size", "16m"),
    ),
)

DEVICES = (
    Probe(
        "a device that is not allowed",
        """
        os.mknod("/tmp/loops", stat.S_IFCHR | 0o600, os.makedev(10, 237))
        show("open for reading", lambda: opens("/tmp/loops", os.O_RDONLY))
        """,
        opened=("--device-cgroup-rule", "c 10:237 r"),
    ),
    Probe(
        "a device of user file systems",
        """
        os.mknod("/tmp/fuse", stat.S_IFCHR | 0o600, os.makedev(10, 229))
        show("open for reading", lambda: opens("/tmp/fuse", os.O_RDONLY))
        """,
        opened=("--device-cgroup-rule", "c 10:229 rwm"),
    ),
    Probe(
        "a device allowed for reading",
        """
        show("read", lambda: opens("/dev/fuse", os.O_RDONLY))
        show("write", lambda: opens("/dev/fuse", os.O_RDWR))
        """,
        guarded=("--device", "/dev/fuse:/dev/fuse:r"),
        opened=("--device", "/dev/fuse"),
    ),
    Probe(
        "names in /dev",
        """
        known = "full null random tty urandom zero ptmx pts shm mqueue console fd core stdin stdout stderr " \\
            "loop-control kmsg mem port fuse net kvm"
        print(*sorted(set(os.listdir("/dev")) & set(known.split())))
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            info = os.stat("/dev/" + name)
            print(name, oct(info.st_mode), os.major(info.st_rdev), os.minor(info.st_rdev))
        """,
        opened=("--device", "/dev/fuse"),
    ),
)

LIMITS = (
    Probe(
        "memory",
        """
        pid = os.fork()
        if not pid:
            os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"1000")
            hold = bytearray(96 << 20)
            os._exit(0)
        print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
        guarded=("-m", "48m", "--memory-swap", "48m"),
        opened=("-m", "512m", "--memory-swap", "512m"),
    ),
    Probe(
        "number of processes",
        """
        children = []
        def fork():
            for _ in range(20):
                pid = os.fork()
                if not pid:
                    signal.pause()
                children.append(pid)
        show("20 forks", fork)
        print("made", len(children))
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        """,
        guarded=("--pids-limit", "9"),
        opened=("--pids-limit", "90"),
    ),
    Probe(
        "processor time",
        """
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            pass
        for path in ("/sys/fs/cgroup/cpu/cpu.stat", "/sys/fs/cgroup/cpu.stat"):
            if os.path.exists(path):
                found = int(re.search("nr_throttled ([0-9]+)", read(path))[1])
                print("held back" if found else "free")
                break
        """,
        guarded=("--cpus", "0.2"),
        opened=(),
    ),
    Probe(
        "processors",
        'show("second processor", lambda: os.sched_setaffinity(0, {1})); print(sorted(os.sched_getaffinity(0)))',
        guarded=("--cpuset-cpus", "0"),
        opened=("--cpuset-cpus", "0-1"),
    ),
    Probe(
        "open files",
        'show("64 files", lambda: [os.dup(0) for _ in range(64)])',
        guarded=("--ulimit", "nofile=32:32"),
        opened=(),
    ),
)

NAMESPACES = (
    Probe(
        "processes of others",
        """
        pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
        print("first" if os.getpid() == 1 else "not first", "alone" if len(pids) == 1 else "with others")
        """,
        opened=("--pid", "host"),
    ),
    Probe(
        "interfaces of others", 'print(*sorted(os.listdir("/sys/class/net")))', guarded=NO_NETWORK, opened=(), common=()
    ),
    Probe(
        "shared memory of others",
        'print("own" if os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize == 64 << 20 else "shared")',
        opened=("--ipc", "host"),
    ),
    Probe(
        "name of the host", 'print(re.sub("[0-9a-f]{12}", "id", os.uname().nodename) == "id")', opened=("--uts", "host")
    ),
    Probe(
        "control group namespace",
        'print("root" if all(line.strip().endswith(":/") for line in open("/proc/self/cgroup")) else "path seen")',
        guarded=("--cgroupns", "private"),
        opened=("--cgroupns", "host"),
    ),
    Probe(
        "process that does not want to be looked at",
        """
        child = os.fork()
        if not child:
            call(157, 4, 0, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
        os.waitpid(child, os.WUNTRACED)
        show("root", lambda: os.stat("/proc/%d/root/" % child))
        show("memory", lambda: opens("/proc/%d/mem" % child, os.O_RDONLY))
        os.kill(child, signal.SIGKILL)
        """,
        opened=("--cap-add", "SYS_PTRACE"),
    ),
)

PROCESS = (
    Probe(
        "descriptors",
        """
        import os
        for number in range(256):
            try:
                print(number, os.readlink("/proc/self/fd/%d" % number).split(":")[0])
            except OSError:
                pass
        """,
        prelude="",
        opened=(),
        wrap=("sh", "-c", 'exec 9</etc/passwd; exec "$@"', "sh"),
    ),
    Probe(
        "environment",
        """print(*sorted(pair.split("=")[0] for pair in read("/proc/self/environ").split("\\0") if pair))""",
        opened=("-e", "EXTRA=1"),
    ),
    Probe("groups", "print(os.getgroups(), os.getgid())", opened=("--group-add", "2000")),
    Probe(
        "signals, mask and session",
        """
        status = dict(line.split(":\\t") for line in read("/proc/self/status").splitlines() if ":\\t" in line)
        print(status["SigBlk"], status["SigIgn"], oct(int(status["Umask"], 8)), os.getsid(0), os.getpgrp())
        print("directory", os.getcwd())
        """,
        opened=(),
        wrap=("sh", "-c", 'umask 077; cd /tmp; exec "$@"', "sh"),
    ),
    Probe(
        "limits of the process",
        """
        import resource
        print("core", resource.getrlimit(resource.RLIMIT_CORE), "oom", read("/proc/self/oom_score_adj").strip())
        """,
        opened=("--ulimit", "core=0", "--oom-score-adj", "77"),
    ),
)

PROBES: tuple[Probe, ...] = (*CAPABILITIES, *FILTER, *PATHS, *DEVICES, *LIMITS, *NAMESPACES, *PROCESS)
