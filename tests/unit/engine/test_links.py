"""Links of the default bridge as text: what is asked for, variables, hosts files."""

import pytest

from wharf.engine.links import hosts_line, parse_link, variables, with_address
from wharf.errors import Invalid
from wharf.spec.container import ContainerConfig, ContainerRecord, EndpointSettings, HostConfig

PLACE = EndpointSettings(ip_address="172.17.0.2")


def record(*ports: str, env: tuple[str, ...] = ()) -> ContainerRecord:
    config = ContainerConfig(hostname="dbhost", exposed_ports={port: {} for port in ports}, env=list(env))
    return ContainerRecord("a" * 64, "db", "", "", config, HostConfig())


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("db", ("db", "db")),
        ("db:store", ("db", "store")),
        ("db:", ("db", "db")),
        (":x", ("", "x")),
        ("/db:/app/store", ("db", "store")),
        ("db:a/b", ("db", "a/b")),
    ],
)
def test_forms_of_a_link(text: str, link: tuple[str, str]) -> None:
    assert parse_link(text) == link


@pytest.mark.parametrize("text", ["", "a:b:c"])
def test_what_is_no_link(text: str) -> None:
    with pytest.raises(Invalid):
        parse_link(text)


def test_variables_name_the_first_port_each_port_and_ranges() -> None:
    found = variables("me", "st-ore", record("80/udp", "81/udp", "9/sctp", "5432/tcp", env=("A=1", "HOME=/x")), PLACE)
    assert found[0] == "ST_ORE_PORT=tcp://172.17.0.2:5432"
    assert "ST_ORE_PORT_9_SCTP=sctp://172.17.0.2:9" in found and "ST_ORE_PORT_80_UDP_ADDR=172.17.0.2" in found
    assert [entry for entry in found if "_START=" in entry or "_END=" in entry] == [
        "ST_ORE_PORT_80_UDP_START=udp://172.17.0.2:80",
        "ST_ORE_PORT_80_UDP_PORT_START=80",
        "ST_ORE_PORT_80_UDP_END=udp://172.17.0.2:81",
        "ST_ORE_PORT_80_UDP_PORT_END=81",
    ]
    assert found[-2:] == ["ST_ORE_NAME=/me/st-ore", "ST_ORE_ENV_A=1"]
    assert variables("me", "x", record(), PLACE) == ["X_NAME=/me/x"]


def test_lines_of_the_hosts_file() -> None:
    assert hosts_line("store", record(), PLACE) == "172.17.0.2\tstore dbhost db"
    assert hosts_line("db", record(), PLACE) == "172.17.0.2\tdb dbhost"


def test_addresses_follow_and_everything_else_stays() -> None:
    before = "127.0.0.1\tlocalhost\n172.17.0.2\tstore dbhost db\n172.17.0.9\tstorehouse\n# store\n10.0.0.1 store\n"
    after = with_address(before, ["store"], "172.17.0.7")
    assert after == before.replace("172.17.0.2\tstore ", "172.17.0.7\tstore ")
