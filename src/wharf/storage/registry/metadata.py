"""What a registry remembers, by noun: links, manifests, tags, repositories, uploads, accounts."""

import json
import secrets
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from wharf.spec.digest import Digest
from wharf.spec.registry import ManifestRow, fits
from wharf.storage.registry.accounts import Accounts
from wharf.storage.registry.database import Database

_REPOSITORY = "(SELECT id FROM repositories WHERE name = ?)"


class Links:
    """Which blobs a repository has."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, repository: str, digest: Digest) -> bool:
        """Whether the repository has the blob."""
        query = f"SELECT 1 FROM links WHERE repository = {_REPOSITORY} AND digest = ?"
        return self._database.row(query, repository, str(digest)) is not None

    def add(self, repository: str, digest: Digest) -> None:
        """Give the blob to the repository, which is made when it is new."""
        with self._database.transaction():
            self._database.write("INSERT OR IGNORE INTO repositories (name) VALUES (?)", repository)
            statement = f"INSERT OR IGNORE INTO links VALUES ({_REPOSITORY}, ?)"
            self._database.write(statement, repository, str(digest))

    def remove(self, repository: str, digest: Digest) -> bool:
        """Take the blob from the repository; whether it had it."""
        statement = f"DELETE FROM links WHERE repository = {_REPOSITORY} AND digest = ?"
        return self._database.write(statement, repository, str(digest)) > 0

    def anywhere(self, digest: Digest) -> bool:
        """Whether any repository has it, as a blob or as a manifest."""
        query = "SELECT 1 FROM links WHERE digest = ? UNION ALL SELECT 1 FROM manifests WHERE digest = ? LIMIT 1"
        return self._database.row(query, str(digest), str(digest)) is not None

    def unreferenced(self) -> list[tuple[str, Digest]]:
        """Links that no manifest of their repository names."""
        rows = self._database.rows(
            """SELECT name, digest FROM links JOIN repositories ON repositories.id = links.repository
               WHERE NOT EXISTS (SELECT 1 FROM refs
                   WHERE refs.repository = links.repository AND refs.digest = links.digest)"""
        )
        return [(name, Digest.parse(digest)) for name, digest in rows]

    def referenced(self, repository: str, digest: Digest) -> bool:
        """Whether a manifest of the repository names it."""
        query = f"SELECT 1 FROM refs WHERE repository = {_REPOSITORY} AND digest = ? LIMIT 1"
        return self._database.row(query, repository, str(digest)) is not None


class Manifests:
    """Manifests of repositories."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, repository: str, digest: Digest) -> ManifestRow | None:
        """The manifest, when the repository has it."""
        row = self._database.row(f"{_SELECT} AND digest = ?", repository, str(digest))
        return _manifest(row) if row else None

    def add(self, repository: str, row: ManifestRow, references: Iterable[Digest]) -> None:
        """Record a manifest and what it names; the same again changes nothing but its media type."""
        with self._database.transaction():
            self._database.write("INSERT OR IGNORE INTO repositories (name) VALUES (?)", repository)
            self._database.write(
                f"""INSERT INTO manifests VALUES ({_REPOSITORY}, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET media_type = excluded.media_type""",
                repository, str(row.digest), row.media_type, row.size, row.subject, row.artifact_type,
                json.dumps(row.annotations, separators=(",", ":")),
            )  # fmt: skip
            for digest in references:
                statement = f"INSERT OR IGNORE INTO refs VALUES ({_REPOSITORY}, ?, ?)"
                self._database.write(statement, repository, str(row.digest), str(digest))

    def remove(self, repository: str, digest: Digest) -> bool:
        """Forget the manifest and its tags; whether it was there."""
        statement = f"DELETE FROM manifests WHERE repository = {_REPOSITORY} AND digest = ?"
        return self._database.write(statement, repository, str(digest)) > 0

    def referrers(self, repository: str, subject: Digest) -> list[ManifestRow]:
        """Manifests with this subject, in the order of their digests."""
        rows = self._database.rows(
            f"{_SELECT} AND subject = ? AND subject != '' ORDER BY digest", repository, str(subject)
        )
        return [_manifest(row) for row in rows]


_SELECT = f"""SELECT digest, media_type, size, subject, artifact_type, annotations FROM manifests
              WHERE repository = {_REPOSITORY}"""


def _manifest(row: tuple[Any, ...]) -> ManifestRow:
    return ManifestRow(Digest.parse(row[0]), row[1], row[2], row[3], row[4], json.loads(row[5]))


class Tags:
    """Names of manifests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, repository: str, tag: str) -> Digest | None:
        """What the tag names."""
        row = self._database.row(
            f"SELECT digest FROM tags WHERE repository = {_REPOSITORY} AND tag = ?", repository, tag
        )
        return Digest.parse(row[0]) if row else None

    def set(self, repository: str, tag: str, digest: Digest) -> None:
        """Make or move a tag; its manifest must be there."""
        statement = f"""INSERT INTO tags VALUES ({_REPOSITORY}, ?, ?)
                        ON CONFLICT DO UPDATE SET digest = excluded.digest"""
        self._database.write(statement, repository, tag, str(digest))

    def remove(self, repository: str, tag: str) -> bool:
        """Forget a tag; whether it was there."""
        return (
            self._database.write(f"DELETE FROM tags WHERE repository = {_REPOSITORY} AND tag = ?", repository, tag) > 0
        )

    def names(self, repository: str, after: str, most: int) -> list[str]:
        """At most `most` tags behind `after`, in lexical order."""
        query = f"SELECT tag FROM tags WHERE repository = {_REPOSITORY} AND tag > ? ORDER BY tag LIMIT ?"
        return [row[0] for row in self._database.rows(query, repository, after, most)]


class Repositories:
    """Names of repositories, and whether strangers may pull there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exists(self, name: str) -> bool:
        """Whether anything was ever pushed there."""
        return self._database.row("SELECT 1 FROM repositories WHERE name = ?", name) is not None

    def names(self, after: str, most: int) -> list[str]:
        """At most `most` repositories that have a manifest, behind `after`, in lexical order."""
        query = """SELECT name FROM repositories WHERE name > ?
                   AND EXISTS (SELECT 1 FROM manifests WHERE repository = id) ORDER BY name LIMIT ?"""
        return [row[0] for row in self._database.rows(query, after, most)]

    def public(self, name: str) -> bool:
        """Whether the most particular pattern that fits says so; private when none does."""
        rows = self._database.rows("SELECT pattern, public FROM visibility")
        fitting = [(len(pattern), public) for pattern, public in rows if fits(pattern, name)]
        return bool(max(fitting)[1]) if fitting else False

    def set_public(self, pattern: str, public: bool) -> None:
        """Make the repositories that fit a pattern public or private."""
        statement = "INSERT INTO visibility VALUES (?, ?) ON CONFLICT DO UPDATE SET public = excluded.public"
        self._database.write(statement, pattern, int(public))


class Uploads:
    """Which uploads there are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, repository: str, name: str) -> None:
        """A new upload."""
        self._database.write("INSERT INTO uploads VALUES (?, ?, ?)", name, repository, time.time())

    def repository(self, name: str) -> str | None:
        """Where the upload goes, None when there is none of that name."""
        row = self._database.row("SELECT repository FROM uploads WHERE name = ?", name)
        return str(row[0]) if row else None

    def end(self, name: str) -> None:
        """The upload became a blob, or was given up."""
        self._database.write("DELETE FROM uploads WHERE name = ?", name)

    def older_than(self, seconds: float) -> list[str]:
        """Uploads that began so long ago."""
        rows = self._database.rows("SELECT name FROM uploads WHERE started < ?", time.time() - seconds)
        return [row[0] for row in rows]


class Settings:
    """Values by key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def secret(self) -> bytes:
        """32 random bytes, made once."""
        with self._database.transaction():
            self._database.write("INSERT OR IGNORE INTO settings VALUES ('secret', ?)", secrets.token_bytes(32))
            row = self._database.row("SELECT value FROM settings WHERE key = 'secret'")
        assert row is not None
        return bytes(row[0])


class RegistryMetadata:
    """All nouns over one database."""

    def __init__(self, path: str) -> None:
        self._database = Database(path)
        self.links = Links(self._database)
        self.manifests = Manifests(self._database)
        self.tags = Tags(self._database)
        self.repositories = Repositories(self._database)
        self.uploads = Uploads(self._database)
        self.accounts = Accounts(self._database)
        self.settings = Settings(self._database)

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, one at a time, durable when it ends."""
        return self._database.transaction()

    def close(self) -> None:
        """Close the database."""
        self._database.close()
