"""`make smoke-hub`: the real Docker Hub, a few requests. Without a way there it says so and ends well.

pull hello-world for two platforms, by tag and by digest; an unchanged tag; a name that is not there
"""

import http.client
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.support.images import image_engine
from wharf.errors import NotFound
from wharf.registry.client.errors import Unreachable
from wharf.registry.client.place import Client
from wharf.registry.client.repository import Repository
from wharf.registry.client.values import ClientConfig
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.transfer.pull import PullOptions, pull

IMAGE = Reference.parse("hello-world:latest")


def reachable(client: Client) -> str:
    """ "" when Docker Hub answers, else why not."""
    try:
        answer = client.place(IMAGE.domain).send("GET", "/v2/", "repository:library/hello-world:pull")
        answer.finish()
        return "" if answer.status in (200, 401) else f"it answers {answer.status}"
    except (Unreachable, OSError, http.client.HTTPException) as error:
        return str(error)


def main() -> int:
    """Exit code 0 also where there is no network."""
    if os.geteuid() != 0:
        print("smoke-hub: SKIPPED: unpacking layers needs root")
        return 0
    client = Client(ClientConfig(connect_timeout=10, attempts=2))
    reason = reachable(client)
    if reason:
        print(f"smoke-hub: SKIPPED: Docker Hub cannot be reached: {reason}")
        return 0
    with tempfile.TemporaryDirectory() as place, image_engine(Path(place)) as engine:
        for platform in (None, Platform("linux", "arm64")):
            told: list[object] = []
            done = pull(engine.images, Repository(client, IMAGE), IMAGE, PullOptions(platform), told.append)
            print(
                f"smoke-hub: {IMAGE.familiar()} for {done.image.image.platform}: {done.digest}, image {done.image.id}"
            )
        by_digest = replace(IMAGE, tag=None, digest=done.digest)
        options = PullOptions(Platform("linux", "arm64"))
        assert pull(engine.images, Repository(client, by_digest), by_digest, options, told.append).digest == done.digest
        assert not pull(engine.images, Repository(client, IMAGE), IMAGE, options, told.append).changed
        missing = Reference.parse("wharf-smoke-test/this-is-not-there:1")
        try:
            pull(engine.images, Repository(client, missing), missing, PullOptions(), told.append)
            raise AssertionError("a name that is not there was pulled")
        except NotFound as error:
            print(f"smoke-hub: {error}")
    client.close()
    print("smoke-hub: all is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
