"""hostname, hosts and resolv.conf as a container has them."""

from pathlib import Path

from tests.system.facts.conftest import Engine

HEAD = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix", "ff02::1\tip6-allnodes", "ff02::2\tip6-allrouters"]  # fmt: skip


def test_hosts_with_the_hosts_network(engine: Engine) -> None:
    assert engine.output("plain", "cat", "/etc/hosts", host={"NetworkMode": "host"}) == Path("/etc/hosts").read_text()
    asked = {"NetworkMode": "host", "ExtraHosts": ["db:1.2.3.4"]}
    assert engine.output("added", "cat", "/etc/hosts", host=asked).splitlines()[-1] == "1.2.3.4\tdb"
    assert engine.inspect("added")["HostsPath"].endswith("/hosts")


def test_hosts_is_written_at_every_start(engine: Engine) -> None:
    script = "echo '9.9.9.9 mine' >>/etc/hosts; cat /etc/hosts; cat /etc/hostname; hostname"
    host = {"NetworkMode": "bridge", "ExtraHosts": ["db:1.2.3.4"]}
    config = {"Hostname": "web", "Domainname": "example.org"}
    first = engine.output("own", "sh", "-c", script, host=host, **config).splitlines()
    engine.post("/containers/own/start")
    engine.post("/containers/own/wait")
    log = engine.get("/containers/own/logs?stdout=1").body.decode().replace("\r\n", "\n").splitlines()
    for lines in (first, log[len(first) :]):
        assert [line for line in lines[: len(HEAD)] if line in HEAD] == [line for line in HEAD if line in lines]
        assert lines[0] == HEAD[0] and "1.2.3.4\tdb" in lines
        assert lines[-4].endswith("\tweb.example.org web") and lines[-3:] == ["9.9.9.9 mine", "web", "web"]
