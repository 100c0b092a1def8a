"""The registry server, which `wharf registry …` execs: flags, composition, signals. No logic."""

import argparse
import fcntl
import getpass
import logging
import os
import signal
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from wharf import __version__
from wharf.errors import Conflict, Invalid, WharfError
from wharf.kernel.process import one_heap
from wharf.registry.client.place import Client
from wharf.registry.client.repository import Repository
from wharf.registry.client.trust import HUB, HUB_HOST
from wharf.registry.client.values import ClientConfig, Credentials
from wharf.registry.server.access import BasicAccess, OpenAccess, TokenAccess
from wharf.registry.server.access_log import AccessLog
from wharf.registry.server.app import Access, App
from wharf.registry.server.collect import ABANDONED_SECONDS, Collector, collect
from wharf.registry.server.leases import Leases
from wharf.registry.server.listener import Listener, bind, tls_context
from wharf.registry.server.passwords import Htpasswd, Passwords, hash_password
from wharf.registry.server.proxy import Proxy
from wharf.registry.server.rights import RIGHTS, Rights
from wharf.registry.server.routes import valid_name
from wharf.registry.server.state import GRACE_SECONDS, Registry
from wharf.registry.server.tokens import Tokens
from wharf.registry.server.upstream import Remote
from wharf.spec.reference import Reference
from wharf.storage.registry.blobs import RegistryBlobs
from wharf.storage.registry.images import EngineBlobs, EngineImages
from wharf.storage.registry.metadata import RegistryMetadata

STOP_SECONDS = 10.0
DEFAULT_ROOT = "/var/lib/wharf-registry"

log = logging.getLogger("wharf.registry")


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        os.umask(0o077)
        if options.run is not _images:  # which has no place of its own
            os.makedirs(options.root, mode=0o700, exist_ok=True)
        return run(options)
    except WharfError as error:
        print(f"wharf registry: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"wharf registry: {error.filename or options.root}: {error.strerror}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wharf registry", description="A registry of images (OCI distribution 1.1)")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        found = verbs.add_parser(name, help=summary, description=summary)
        found.add_argument("--root", default=DEFAULT_ROOT, help="directory of blobs and database (%(default)s)")
        found.set_defaults(run=run)
        return found

    _serve_flags(verb("serve", _serve, "Serve the registry"))
    _images_flags(verb("images", _images, "Serve the images of an engine, read only (see: wharf image serve)"))
    user = verb("user", _user, "Add a user (the password is read from standard input), remove one, list them")
    user.add_argument("action", choices=("add", "rm", "ls"))
    user.add_argument("name", nargs="?", default="")
    user.add_argument("--admin", action="store_true", help="may do everything; otherwise NAME/* is the user's own")
    grant = verb("grant", _grant, "Let a user pull, push or administrate repositories")
    grant.add_argument("name", metavar="USER")
    grant.add_argument("pattern", metavar="REPOSITORY", help="a name, team/* or *")
    grant.add_argument("right", choices=(*RIGHTS, "none"))
    repo = verb("repo", _repo, "Make repositories public (everybody may pull) or private")
    repo.add_argument("pattern", metavar="REPOSITORY", help="a name, team/* or *")
    repo.add_argument("visibility", choices=("public", "private"))
    gc = verb("gc", _gc, "Collect what nothing names, while no server runs (a running one collects by itself)")
    gc.add_argument("--grace", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser


def _serve_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--addr", default="127.0.0.1:5000", help="host:port to listen on (%(default)s)")
    add("--auth", choices=("none", "basic", "token"), default="", help="default: token when there are users, else none")
    add("--htpasswd", default="", metavar="FILE", help="more users: bcrypt entries of a htpasswd file")
    add("--default-right", choices=RIGHTS, default="", help="right of every user everywhere (default: grants only)")
    add("--service", default="wharf-registry", help="the name that tokens are for (%(default)s)")
    add("--tls-cert", default="", metavar="FILE")
    add("--tls-key", default="", metavar="FILE")
    add("--access-log", default="", metavar="FILE", help="JSON lines; '-' is standard output, '' is none")
    add("--gc-interval", type=float, default=3600.0, metavar="SECONDS", help="0 never collects (%(default)s)")
    add("--gc-grace", type=float, default=GRACE_SECONDS, metavar="SECONDS", help="what a push may take (%(default)s)")
    add(
        "--upload-age",
        type=float,
        default=ABANDONED_SECONDS,
        metavar="SECONDS",
        help="then it is given up (%(default)s)",
    )
    add("--proxy", default="", metavar="URL", help="be a cache of this registry: http(s)://host[:port]")
    add("--proxy-user", default="", metavar="NAME", help="who we are there")
    add("--proxy-password-file", default="", metavar="FILE")
    add(
        "--proxy-fresh",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long a tag is not asked for again (%(default)s)",
    )
    add("--read-only", action="store_true", help="refuse whatever changes the registry")


def _images_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--addr", default="127.0.0.1:5001", help="host:port to listen on (%(default)s)")
    add("--htpasswd", default="", metavar="FILE", help="who may pull: bcrypt entries of a htpasswd file")
    add("--tls-cert", default="", metavar="FILE")
    add("--tls-key", default="", metavar="FILE")
    add("--access-log", default="", metavar="FILE", help="JSON lines; '-' is standard output, '' is none")


def _images(options: argparse.Namespace) -> int:
    one_heap()
    blobs = EngineBlobs(options.root)
    images = EngineImages(options.root, blobs)
    registry = Registry(blobs, images, readonly=True)
    access: Access = OpenAccess()
    if options.htpasswd:
        rights = Rights(images.accounts, images.repositories, "pull")
        access = BasicAccess(Passwords(Htpasswd(options.htpasswd)), rights)
    access_log = _access_log(options)
    _listen(options, App(registry, access, access_log), access_log)
    images.close()
    return 0


def _serve(options: argparse.Namespace) -> int:
    one_heap()
    lock = _take_root(options.root)
    metadata = RegistryMetadata(os.path.join(options.root, "registry.db"))
    registry = Registry(RegistryBlobs(options.root), metadata, Leases(options.gc_grace))
    registry.readonly = options.read_only or bool(options.proxy)
    if options.proxy:
        registry.upstream = _proxy(options, registry)
    access_log = _access_log(options)
    app = App(registry, _access(options, metadata), access_log)
    collector = Collector(registry, app.uploading, options.gc_interval, options.upload_age)
    _listen(options, app, access_log, collector)
    app.uploading.close()
    metadata.close()
    os.close(lock)
    return 0


def _access_log(options: argparse.Namespace) -> AccessLog:
    return AccessLog("", 1) if options.access_log == "-" else AccessLog(options.access_log)


def _listen(options: argparse.Namespace, app: App, access_log: AccessLog, collector: Collector | None = None) -> None:
    """Serve until a signal ends it."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise Invalid("--tls-cert and --tls-key are needed together")
    tls = tls_context(options.tls_cert, options.tls_key) if options.tls_cert else None
    sock = bind(options.addr)
    listener = Listener(sock, app.serve, tls)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: listener.stop())
    signal.signal(signal.SIGHUP, lambda *_: access_log.reopen())
    if collector:
        collector.start()
    log.info("the registry listens on %s", "{}:{}".format(*sock.getsockname()[:2]))
    listener.run()
    listener.close(STOP_SECONDS)
    if collector:
        collector.stop()


def _proxy(options: argparse.Namespace, registry: Registry) -> Proxy:
    where = urlsplit(options.proxy)
    if where.scheme not in ("http", "https") or not where.hostname or where.path.strip("/") or where.query:
        raise Invalid(f"--proxy {options.proxy[:200]!r}: expected http(s)://host[:port]")
    password = ""
    if options.proxy_password_file:
        with open(options.proxy_password_file, encoding="utf-8") as file:
            password = file.readline(4096).rstrip("\n")
    # Whoever writes http:// here wants it.
    insecure = (where.netloc,) if where.scheme == "http" else ()
    client = Client(ClientConfig(insecure=insecure, user_agent=f"wharf-registry/{__version__}"))
    credentials = Credentials(options.proxy_user, password)
    domain = HUB if where.netloc == HUB_HOST else where.netloc
    return Proxy(
        registry,
        lambda name: Remote(Repository(client, Reference(domain, name), credentials)),
        options.proxy_fresh,
    )


def _access(options: argparse.Namespace, metadata: RegistryMetadata) -> Access:
    mode = options.auth or ("token" if options.htpasswd or metadata.accounts.users() else "none")
    if mode == "none":
        return OpenAccess()
    sources = [Htpasswd(options.htpasswd)] if options.htpasswd else []
    passwords = Passwords(*sources, metadata.accounts)
    rights = Rights(metadata.accounts, metadata.repositories, options.default_right)
    if mode == "basic":
        return BasicAccess(passwords, rights)
    return TokenAccess(passwords, rights, Tokens(metadata.settings.secret(), options.service), options.service)


def _take_root(root: str) -> int:
    """The lock that a server holds on its root; raises Conflict."""
    fd = os.open(os.path.join(root, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Conflict(f"another registry server uses {root}") from None
    return fd


def _user(options: argparse.Namespace) -> int:
    accounts = RegistryMetadata(os.path.join(options.root, "registry.db")).accounts
    if options.action == "ls":
        for name in accounts.users():
            grants = ", ".join(f"{pattern} {right}" for pattern, right in accounts.grants(name))
            print(f"{name}\t{grants}")
        return 0
    if not options.name or ":" in options.name:
        raise Invalid("a user's name is needed, without a colon")
    if options.action == "rm":
        accounts.remove_user(options.name)
        return 0
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    accounts.set_user(options.name, hash_password(password))
    if options.admin:
        accounts.grant(options.name, "*", "admin")
    elif valid_name(options.name):
        accounts.grant(options.name, f"{options.name}/*", "admin")
    return 0


def _grant(options: argparse.Namespace) -> int:
    accounts = RegistryMetadata(os.path.join(options.root, "registry.db")).accounts
    accounts.grant(options.name, _pattern(options.pattern), "" if options.right == "none" else options.right)
    return 0


def _repo(options: argparse.Namespace) -> int:
    metadata = RegistryMetadata(os.path.join(options.root, "registry.db"))
    metadata.repositories.set_public(_pattern(options.pattern), options.visibility == "public")
    return 0


def _pattern(text: str) -> str:
    if text != "*" and not valid_name(text.removesuffix("/*")):
        raise Invalid(f"{text!r} is neither a repository, nor team/*, nor *")
    return text


def _gc(options: argparse.Namespace) -> int:
    lock = _take_root(options.root)
    metadata = RegistryMetadata(os.path.join(options.root, "registry.db"))
    registry = Registry(RegistryBlobs(options.root), metadata, Leases(options.grace))
    app = App(registry, OpenAccess(), AccessLog())
    gone = collect(registry, app.uploading)
    print(f"{gone.uploads} uploads, {gone.links} links, {gone.blobs} blobs")
    os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
