"""What a probe is: a small Python program that runs inside a container twice.

`guarded` are the flags under which the protection holds, `opened` the same with that one protection taken off, so that
the probe shows that it can tell. A probe is harmless when it succeeds: it opens without writing, asks a system call
for something invalid, or changes what belongs to its own container.

The interpreter is the engine host's own, bound read-only into the container; programs start with PRELUDE.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

BASE = ("-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro")
PYTHON = ("/usr/bin/python3", "-I", "-S", "-c")
NO_NETWORK = ("--network", "none")

PRELUDE = textwrap.dedent(
    '''
    import ctypes, errno, os, re, signal, socket, stat, struct, sys, time
    libc = ctypes.CDLL(None, use_errno=True)
    def call(number, *words):
        """A system call by its number on x86-64."""
        ctypes.set_errno(0)
        packed = [w if isinstance(w, (bytes, ctypes._SimpleCData)) or w is None else ctypes.c_long(w) for w in words]
        result = libc.syscall(ctypes.c_long(number), *packed)
        if result < 0:
            raise OSError(ctypes.get_errno(), "call")
        return result
    def show(name, work):
        """Prints the name of the error, or that there was none."""
        try:
            work()
            print(name + ": done", flush=True)
        except OSError as error:
            print(name + ": " + errno.errorcode[error.errno], flush=True)
    def opens(path, flags):
        os.close(os.open(path, flags | os.O_CLOEXEC))
    def read(path):
        with open(path) as file:
            return file.read()
    '''
)


@dataclass(frozen=True)
class Probe:
    """`wrap` replaces the command's start in the opened run, for protections that no flag takes off."""

    name: str
    program: str
    opened: tuple[str, ...]
    guarded: tuple[str, ...] = ()
    common: tuple[str, ...] = NO_NETWORK
    wrap: tuple[str, ...] = ()
    prelude: str = PRELUDE

    def arguments(self, flags: tuple[str, ...], wrap: tuple[str, ...] = ()) -> list[str]:
        """What follows `docker`."""
        source = self.prelude + textwrap.dedent(self.program)
        return ["run", "--rm", *self.common, *BASE, *flags, "box:1", *wrap, *PYTHON, source]
