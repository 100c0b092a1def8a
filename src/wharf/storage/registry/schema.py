"""The tables of registry.db, as a list of migrations: entry n brings a database from version n to n + 1.

repositories ─< links        a blob that the repository has
             ─< manifests ─< refs     what the manifest names, blob or manifest
             ─< tags ─> manifests     no tag without its manifest: the foreign key says so
uploads, users ─< grants, visibility, settings
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE repositories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        """CREATE TABLE links (
            repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE, digest TEXT NOT NULL,
            PRIMARY KEY (repository, digest)) WITHOUT ROWID""",
        "CREATE INDEX links_digest ON links (digest)",
        """CREATE TABLE manifests (
            repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE, digest TEXT NOT NULL,
            media_type TEXT NOT NULL, size INTEGER NOT NULL, subject TEXT NOT NULL, artifact_type TEXT NOT NULL,
            annotations TEXT NOT NULL, PRIMARY KEY (repository, digest)) WITHOUT ROWID""",
        "CREATE INDEX manifests_digest ON manifests (digest)",
        "CREATE INDEX manifests_subject ON manifests (repository, subject) WHERE subject != ''",
        """CREATE TABLE refs (
            repository INTEGER NOT NULL, manifest TEXT NOT NULL, digest TEXT NOT NULL,
            PRIMARY KEY (repository, manifest, digest),
            FOREIGN KEY (repository, manifest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
            ) WITHOUT ROWID""",
        "CREATE INDEX refs_digest ON refs (repository, digest)",
        """CREATE TABLE tags (
            repository INTEGER NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, tag),
            FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
            ) WITHOUT ROWID""",
        "CREATE INDEX tags_digest ON tags (repository, digest)",
        "CREATE TABLE uploads (name TEXT PRIMARY KEY, repository TEXT NOT NULL, started REAL NOT NULL) WITHOUT ROWID",
        "CREATE TABLE users (name TEXT PRIMARY KEY, hash TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE grants (
            user TEXT NOT NULL, pattern TEXT NOT NULL, access TEXT NOT NULL, PRIMARY KEY (user, pattern)
            ) WITHOUT ROWID""",
        "CREATE TABLE visibility (pattern TEXT PRIMARY KEY, public INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    ),
)
