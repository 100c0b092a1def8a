"""Users of a registry: names, bcrypt hashes, and what each may do to which repositories."""

from wharf.errors import NotFound
from wharf.storage.registry.database import Database


class Accounts:
    """Users and their grants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hash_of(self, user: str) -> str:
        """The bcrypt hash, "" for an unknown user."""
        row = self._database.row("SELECT hash FROM users WHERE name = ?", user)
        return str(row[0]) if row else ""

    def grants(self, user: str) -> list[tuple[str, str]]:
        """Pairs of pattern and right (pull, push, admin)."""
        return [
            (row[0], row[1]) for row in self._database.rows("SELECT pattern, access FROM grants WHERE user = ?", user)
        ]

    def users(self) -> list[str]:
        """Names of all users, in order."""
        return [row[0] for row in self._database.rows("SELECT name FROM users ORDER BY name")]

    def set_user(self, user: str, hashed: str) -> None:
        """Add a user, or give one a new password."""
        statement = "INSERT INTO users VALUES (?, ?) ON CONFLICT DO UPDATE SET hash = excluded.hash"
        self._database.write(statement, user, hashed)

    def remove_user(self, user: str) -> None:
        """Forget a user with all grants; raises NotFound."""
        with self._database.transaction():
            if not self._database.write("DELETE FROM users WHERE name = ?", user):
                raise NotFound(f"no such user: {user}")
            self._database.write("DELETE FROM grants WHERE user = ?", user)

    def grant(self, user: str, pattern: str, access: str) -> None:
        """Let a user do something to the repositories that fit a pattern; "" takes the grant away."""
        if not access:
            self._database.write("DELETE FROM grants WHERE user = ? AND pattern = ?", user, pattern)
            return
        statement = "INSERT INTO grants VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET access = excluded.access"
        self._database.write(statement, user, pattern, access)
