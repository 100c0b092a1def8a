"""From a request to its answer: path, rights, handler; every failure becomes the specification's envelope."""

import errno
import logging
import ssl
import time
from collections.abc import Callable
from typing import Protocol

from wharf.errors import Unavailable, WharfError
from wharf.registry.server import blobs, lists, manifests
from wharf.registry.server.access_log import AccessLog
from wharf.registry.server.connection import Connection, SocketBody
from wharf.registry.server.errors import RegistryError
from wharf.registry.server.http import BadRequest, Head, Request, Response, split_target
from wharf.registry.server.routes import Target, find
from wharf.registry.server.state import Registry
from wharf.registry.server.uploads import Uploading

log = logging.getLogger("wharf.registry")

Handler = Callable[[Request, Target], Response]


class Access(Protocol):
    """Who may do what."""

    def identify(self, request: Request) -> None:
        """Set `request.user`; raises RegistryError (UNAUTHORIZED, TOOMANYREQUESTS) for wrong credentials."""
        ...

    def allows(self, request: Request, repository: str, action: str) -> bool:
        """Whether the client may pull, push or delete there; the repository "" stands for the registry itself."""
        ...

    def sees(self, request: Request, repository: str) -> bool:
        """Whether the catalog shows the repository to the client."""
        ...

    def refusal(self, request: Request, repository: str, actions: str) -> RegistryError:
        """401 with a challenge for strangers, 403 for those we know."""
        ...

    def token(self, request: Request) -> Response:
        """The token end point; raises RegistryError (404) where there is none."""
        ...


class App:
    """The registry as a function of requests; `serve` is what connections call."""

    def __init__(self, registry: Registry, access: Access, access_log: AccessLog) -> None:
        self._access = access
        self._log = access_log
        self.uploading = Uploading(registry, lambda request, name: access.allows(request, name, "pull"))
        self._handlers = self._table(registry)

    def _table(self, registry: Registry) -> dict[str, dict[str, tuple[str, Handler]]]:
        """end point -> method -> (what the client must be allowed, handler)."""

        def on(handler: Callable[[Registry, Request, Target], Response]) -> Handler:
            return lambda request, target: handler(registry, request, target)

        get_blob, get_manifest, uploading = on(blobs.get), on(manifests.get), self.uploading
        table: dict[str, dict[str, tuple[str, Handler]]] = {
            "base": {"GET": ("", _base)},
            "token": {"GET": ("none", self._token), "POST": ("none", self._token)},
            "catalog": {"GET": ("", lambda request, target: lists.catalog(registry, request, self._access.sees))},
            "blob": {"GET": ("pull", get_blob), "DELETE": ("delete", on(blobs.delete))},
            "uploads": {"POST": ("push", uploading.start)},
            "upload": {
                "GET": ("push", uploading.status),
                "PATCH": ("push", uploading.patch),
                "PUT": ("push", uploading.put),
                "DELETE": ("push", uploading.cancel),
            },
            "manifest": {
                "GET": ("pull", get_manifest),
                "PUT": ("push", on(manifests.put)),
                "DELETE": ("delete", on(manifests.delete)),
            },
            "tags": {"GET": ("pull", on(lists.tags))},
            "referrers": {"GET": ("pull", on(lists.referrers))},
        }
        for methods in table.values():
            if "GET" in methods:
                methods["HEAD"] = methods["GET"]
        if registry.readonly:
            table = {
                kind: {m: h for m, h in item.items() if h[0] in ("", "none", "pull")} for kind, item in table.items()
            }
        return table

    def serve(self, head: Head, body: SocketBody, connection: Connection) -> Response:
        """Answer one request; lets ConnectionError and BadRequest through, which end the connection."""
        begun = time.monotonic()
        request = Request(head.method, head.target, {}, head.headers, body, connection.client, connection.scheme)
        response = self._answer(request)
        self._log.write(request, response, body, time.monotonic() - begun)
        return response

    def _answer(self, request: Request) -> Response:
        try:
            request.path, request.query = split_target(request.path)
            return self._dispatch(request)
        except RegistryError as error:
            return Response(error.status, error.body(), error.headers)
        except (ConnectionError, BadRequest, BlockingIOError, ssl.SSLError):
            raise
        except WharfError as error:
            log.warning("%s %s: %s", request.method, request.path, error)
            wrapped = RegistryError("UNAVAILABLE" if isinstance(error, Unavailable) else "UNKNOWN", error.message)
            return Response(wrapped.status, wrapped.body())
        except OSError as error:
            log.error("%s %s: %s", request.method, request.path, error)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            failed = RegistryError("INSUFFICIENT_STORAGE" if full else "UNKNOWN")
            return Response(failed.status, failed.body())
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            failed = RegistryError("UNKNOWN")
            return Response(failed.status, failed.body())

    def _dispatch(self, request: Request) -> Response:
        target = find(request.path)
        if target is None:
            return Response(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
        request.repository = target.repository
        methods = self._handlers[target.kind]
        action, handler = methods.get(request.method, ("", None))
        if handler is None:
            allow = {"Allow": ", ".join(sorted(methods))}
            raise RegistryError("UNSUPPORTED", f"{request.method} is not supported here", headers=allow)
        if action != "none":
            self._access.identify(request)
            if not self._access.allows(request, target.repository, action):
                raise self._access.refusal(request, target.repository, action)
        return handler(request, target)

    def _token(self, request: Request, target: Target) -> Response:
        return self._access.token(request)


def _base(request: Request, target: Target) -> Response:
    return Response(200, b"{}", {"Content-Type": "application/json"})
