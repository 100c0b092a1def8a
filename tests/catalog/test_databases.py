"""The databases and the broker of the catalogue: the conventions of the official images, seen by real clients."""

import gzip
import os
from pathlib import Path

import pytest

from tests.catalog.kit import Catalog, Running

if not os.environ.get("WHARF_TEST_CATALOG"):
    pytest.skip("the databases are built by `make test-catalog`", allow_module_level=True)


def scripts(root: Path, **files: str) -> str:
    """A directory for /docker-entrypoint-initdb.d, as a -v flag; `__` stands for the dot, `x_` makes it executable."""
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        path = root / name.removeprefix("x_").replace("__", ".")
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
        path.chmod(0o755 if name.startswith("x_") else 0o644)
    return f"{root}:/docker-entrypoint-initdb.d:ro"


class TestPostgres:
    def psql(self, catalog: Catalog, server: Running, url: str, sql: str, *, check: bool = True) -> str:
        address = f"postgresql://{url.replace('@', f'@127.0.0.1:{server.port}')}"
        return catalog.client("catalog/postgres", "psql", "-XAtc", sql, address, check=check)

    def test_refuses_to_start_without_a_password(self, catalog: Catalog) -> None:
        done = catalog.wharf("run", "--rm", catalog.build("postgres"), check=False)
        assert done.returncode == 1 and "Set POSTGRES_PASSWORD" in done.stderr

    def test_a_value_and_a_file_are_one_too_many(self, catalog: Catalog) -> None:
        words = ("-e", "POSTGRES_PASSWORD=a", "-e", "POSTGRES_PASSWORD_FILE=/etc/hostname")
        done = catalog.wharf("run", "--rm", *words, catalog.build("postgres"), check=False)
        assert done.returncode == 1 and "POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are both set" in done.stderr

    def test_user_database_password_scripts_and_arguments(self, catalog: Catalog, tmp_path: Path) -> None:
        (tmp_path / "pw").write_text("p'a ss")
        flag = scripts(
            tmp_path / "init",
            **{
                "1__sql": "create table t (a int); insert into t values (1);",
                "2__sql__gz": "insert into t values (2);",
                "3__sh": 'docker_process_sql <<<"insert into t values (3)"',
                "x_4__sh": '#!/bin/sh\npsql -qU "$POSTGRES_USER" -d "$POSTGRES_DB" -c "insert into t values (4)"\n',
                "5__txt": "insert into t values (5);",
            },
        )
        words = [
            "-e", "POSTGRES_USER=me", "-e", "POSTGRES_DB=my-db", "-e", "POSTGRES_PASSWORD_FILE=/run/pw",
            "-e", "POSTGRES_INITDB_ARGS=--data-checksums --auth-local='scram-sha-256'",
            "-v", f"{tmp_path}/pw:/run/pw:ro", "-v", flag,
        ]  # fmt: skip
        with catalog.running(catalog.build("postgres"), *words, command=("-c", "work_mem=5MB")) as server:
            server.ready()
            sql = (
                "select string_agg(a::text, ',' order by a) from t; show data_checksums; show work_mem; show lc_collate"
            )
            found = self.psql(catalog, server, "me:p%27a%20ss@/my-db", sql)
            assert found == "1,2,3,4\non\n5MB\nen_US.utf8\n"
            assert server.user() == "postgres"
            assert "leaving out /docker-entrypoint-initdb.d/5.txt" in server.logs()
            assert self.psql(catalog, server, "me:wrong@/my-db", "select 1", check=False) == ""

    def test_the_volume_keeps_the_database(self, catalog: Catalog) -> None:
        image = catalog.build("postgres")
        try:
            with catalog.running(
                image, "-v", "pg-kept:/var/lib/postgresql/data", "-e", "POSTGRES_PASSWORD=a"
            ) as server:
                self.psql(catalog, server.ready(), "postgres:a@/postgres", "create table t as select 7 as a")
                catalog.wharf("stop", server.id)
                assert catalog.wharf("inspect", "-f", "{{.State.ExitCode}}", server.id).stdout == "0\n"
            with catalog.running(image, "-v", "pg-kept:/var/lib/postgresql/data") as server:
                assert self.psql(catalog, server.ready(), "postgres:a@/postgres", "select a from t") == "7\n"
                assert "is left as it is" in server.logs()
        finally:
            catalog.wharf("volume", "rm", "-f", "pg-kept")

    def test_trust_and_another_user(self, catalog: Catalog) -> None:
        words = ("-e", "POSTGRES_HOST_AUTH_METHOD=trust", "--user", "4321:4321", "-e", "PGDATA=/tmp/data")
        with catalog.running(catalog.build("postgres"), *words) as server:
            assert self.psql(catalog, server.ready(), "postgres@/postgres", "select 1") == "1\n"
            assert server.exec("stat", "-c", "%u", "/proc/1") == "4321\n"

    def test_a_failing_script_ends_the_start(self, catalog: Catalog, tmp_path: Path) -> None:
        flag = scripts(tmp_path / "init", **{"1__sql": "select from nothing;"})
        words = ("-e", "POSTGRES_PASSWORD=a", "-v", flag)
        done = catalog.wharf("run", "--rm", *words, catalog.build("postgres"), check=False)
        assert done.returncode == 3 and 'relation "nothing" does not exist' in done.stderr


class TestMariadb:
    def ask(self, catalog: Catalog, server: Running, user: str, password: str, sql: str, *words: str) -> str:
        ask = ("mariadb", "-h", "127.0.0.1", "-P", server.port, "-u", user, f"-p{password}", "-BN", "-e", sql, *words)
        return catalog.client("catalog/mariadb", *ask, check=False)

    def test_refuses_to_start_without_a_password(self, catalog: Catalog) -> None:
        done = catalog.wharf("run", "--rm", catalog.build("mariadb"), check=False)
        assert done.returncode == 1 and "Set one of MARIADB_ROOT_PASSWORD" in done.stderr

    @pytest.mark.parametrize("prefix", ["MARIADB", "MYSQL"])
    def test_user_database_and_scripts(self, catalog: Catalog, tmp_path: Path, prefix: str) -> None:
        (tmp_path / "pw").write_text("r'o\\ot")
        flag = scripts(
            tmp_path / "init",
            **{
                "1__sql": "create table t (a int); insert into t values (1);",
                "2__sql__gz": "insert into t values (2);",
                "3__sh": 'docker_process_sql <<<"insert into t values (3)"',
            },
        )
        words = [
            "-e", f"{prefix}_ROOT_PASSWORD_FILE=/run/pw", "-e", f"{prefix}_DATABASE=my_db", "-e", f"{prefix}_USER=me",
            "-e", f"{prefix}_PASSWORD=p'w", "-v", f"{tmp_path}/pw:/run/pw:ro", "-v", flag,
        ]  # fmt: skip
        with catalog.running(catalog.build("mariadb"), *words, command=("--max-connections=77",)) as server:
            server.ready()
            found = self.ask(catalog, server, "me", "p'w", "select a from t order by a", "my_db")
            assert found == "1\n2\n3\n"
            assert (
                self.ask(catalog, server, "root", "r'o\\ot", "select @@max_connections, current_user()")
                == "77\troot@%\n"
            )
            assert self.ask(catalog, server, "root", "wrong", "select 1") == ""
            assert self.ask(catalog, server, "me", "p'w", "select 1 from mysql.user limit 1") == ""
            assert server.user() == "mysql"
            zone = "select convert_tz('2024-06-01 12:00:00', 'UTC', 'Europe/Berlin')"
            assert self.ask(catalog, server, "me", "p'w", zone) == "2024-06-01 14:00:00\n"

    def test_a_random_password_and_a_kept_volume(self, catalog: Catalog) -> None:
        image = catalog.build("mariadb")
        fast = ("-e", "MARIADB_INITDB_SKIP_TZINFO=1", "-v", "maria-kept:/var/lib/mysql")
        try:
            with catalog.running(image, *fast, "-e", "MARIADB_RANDOM_ROOT_PASSWORD=1") as server:
                server.ready()
                password = server.logs().partition("GENERATED ROOT PASSWORD: ")[2].splitlines()[0]
                self.ask(catalog, server, "root", password, "create database d; create table d.t select 7 as a")
                catalog.wharf("stop", server.id)
            with catalog.running(image, *fast, "-e", "MARIADB_AUTO_UPGRADE=1") as server:
                assert self.ask(catalog, server.ready(), "root", password, "select a from d.t") == "7\n"
        finally:
            catalog.wharf("volume", "rm", "-f", "maria-kept")


class TestRabbitmq:
    def test_user_password_and_queue(self, catalog: Catalog, tmp_path: Path) -> None:
        (tmp_path / "pw").write_text("p#w d")
        catalog.build("python")
        client = catalog.app("amqp")
        words = ["-e", "RABBITMQ_DEFAULT_USER=me", "-e", "RABBITMQ_DEFAULT_PASS_FILE=/run/pw",
                 "-e", "RABBITMQ_DEFAULT_VHOST=shop", "-v", f"{tmp_path}/pw:/run/pw:ro"]  # fmt: skip
        with catalog.running(catalog.build("rabbitmq"), *words) as server:
            server.ready()
            script = ("python", "/app/client.py", server.port)
            assert catalog.client(client, *script, "me", "p#w d", "shop") == "got b'an order'\n"
            assert "refused" in catalog.client(client, *script, "guest", "guest", "/")
            assert server.user() == "rabbitmq"
