"""The tables of wharf.db, as a list of migrations: entry n brings a database from version n to n + 1.

Columns hold what is searched or must be unique; `record` holds the whole dataclass as JSON (see `codec`), and
`format` the version of that JSON, so that a later migration can rewrite it.

    containers ─ one a row        images ─< names ─ what `tag` writes
    execs >─ containers           volumes, networks, settings ─ flat
"""

RECORD_FORMAT = 1

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE containers (
            id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image_id TEXT NOT NULL,
            format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE execs (
            id TEXT PRIMARY KEY, container_id TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
            format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX execs_container ON execs (container_id)",
        """CREATE TABLE images (
            id TEXT PRIMARY KEY, manifest TEXT NOT NULL,
            format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE names (
            reference TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
            format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX names_image ON names (image_id)",
        """CREATE TABLE volumes (
            name TEXT PRIMARY KEY, driver TEXT NOT NULL,
            format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE networks (
            id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,
            format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    (
        """CREATE TABLE build_cache (
            id TEXT PRIMARY KEY, format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE leases (
            id TEXT PRIMARY KEY, format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE compressed (
            id TEXT PRIMARY KEY, format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE referrers (
            id TEXT PRIMARY KEY, format INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
    ),
)
