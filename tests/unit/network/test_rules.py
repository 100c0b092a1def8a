"""The packet filter's rules as text, and what is said of other programs' chains."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from wharf.network.coexist import blockers, foreign_drops
from wharf.network.names import Names
from wharf.network.rules import add_text, element_text, elements_of, network_rules, ruleset
from wharf.spec.network import BridgeFacts, Endpoint, GatewayMode, Port, PublishedPort

FACTS = BridgeFacts("0123456789abcdef", "net", "br-x", IPv4Network("172.18.0.0/16"), IPv4Address("172.18.0.1"))
ENDPOINT = Endpoint(
    "e", "0123456789abcdef", "net", "s", IPv4Interface("172.18.0.2/16"), None, "02:00:00:00:00:01",
    ports=(
        PublishedPort(Port(80), "0.0.0.0", 8080), PublishedPort(Port(53, "udp"), "127.0.0.1", 53),
        PublishedPort(Port(80), "::", 8080), PublishedPort(Port(9, "sctp"), "0.0.0.0", 0),
    ),
)  # fmt: skip
BOTH = replace(ENDPOINT, address6=IPv6Interface("fd00::2/64"))


def keys(endpoint: Endpoint) -> dict[str, list[str]]:
    return {name: [element_text(e.key) for e in elements] for name, elements in elements_of(endpoint).items()}


def test_ports_lie_in_the_map_of_their_kind():
    assert keys(ENDPOINT) == {
        "published": ["tcp . 8080"],
        "published-on": ["127.0.0.1 . udp . 53"],
        "open4": ["172.18.0.2 . sctp . 9"],
        "relayed6": ["tcp . 8080"],
    }
    assert keys(BOTH)["published6"] == ["tcp . 8080"]
    assert keys(replace(BOTH, address=None)) == {"published6": ["tcp . 8080"]}


def test_the_table_carries_the_ports_of_running_containers():
    text = ruleset(Names(""), [FACTS], [BOTH])
    for elements in (
        "elements = { tcp . 8080 : 172.18.0.2 . 80 }",
        "elements = { 127.0.0.1 . udp . 53 : 172.18.0.2 . 53 }",
        "elements = { tcp . 8080 : fd00::2 . 80 }",
        "elements = { 172.18.0.2 . sctp . 9 }",
        'elements = { "br-x" : goto into-0123456789ab }',
    ):
        assert elements in text


def test_what_a_network_adds_is_what_it_is():
    plain = network_rules(FACTS)
    assert "shut-in" not in plain.elements and "nat6" not in plain.elements and "routed4" not in plain.elements
    assert not any("drop" in rule for rule in plain.chains["out-of-0123456789ab"])
    assert plain.chains["into-0123456789ab"][-1] == "drop"
    internal = network_rules(replace(FACTS, internal=True))
    assert internal.chains["out-of-0123456789ab"][:2] == ["jump WHARF-USER", 'oifname != "br-x" drop']
    assert not any(" masquerade" in r and "!=" in r for r in internal.chains["nat4-0123456789ab"])
    both = replace(FACTS, subnet6=IPv6Network("fd00::/64"), mode6=GatewayMode.ROUTED)
    assert network_rules(both).elements["routed6"] == ["fd00::/64"]
    assert not any("!=" in rule for rule in network_rules(both).chains["nat6-0123456789ab"])
    assert "iifname" not in "".join(network_rules(both).chains["nat4-0123456789ab"])  # postrouting does not know it


def test_no_container_has_the_host_s_address_and_each_network_talks_within():
    first = network_rules(FACTS).chains["from-0123456789ab"][0]
    assert first == "ip saddr 172.18.0.0/16 ip saddr != 172.18.0.1 ip saddr != 172.18.255.255 return"
    both = replace(FACTS, subnet6=IPv6Network("fd00::/64"), gateway6=IPv6Address("fd00::1"))
    assert "ip6 saddr fd00::/64 ip6 saddr != fd00::1 return" in network_rules(both).chains["from-0123456789ab"]
    assert 'oifname "br-x" accept' in network_rules(FACTS).chains["out-of-0123456789ab"]
    assert not any("accept" in rule for rule in network_rules(replace(FACTS, icc=False)).chains["out-of-0123456789ab"])


def test_a_quote_in_a_setting_ends_no_string():
    facts = replace(FACTS, trusted_interfaces=('eth0" accept; add table ip x; "', "eth1"))
    assert 'iifname { "eth0 accept; add table ip x; ", "eth1" } accept' in add_text(Names(""), facts)


def chain(table, hook, policy, family="ip", name="FORWARD"):
    return {"chain": {"family": family, "table": table, "name": name, "hook": hook, "policy": policy}}


def rule(table, *words, family="ip", name="FORWARD"):
    return {"rule": {"family": family, "table": table, "chain": name, "expr": list(words)}}


def test_only_foreign_drops_of_forward_chains_are_told():
    names = Names("")
    quiet = [chain("filter", "forward", "accept"), chain("filter", "input", "drop"), chain("wharf", "forward", "drop")]
    assert foreign_drops([{"metainfo": {}}, *quiet, chain("filter", "forward", "drop", "ip6")], names) == []
    docker = [chain("filter", "forward", "drop"), {"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER"}}]
    (warning,) = foreign_drops(docker, names)
    assert "iptables -I DOCKER-USER -o wharf0 -j ACCEPT" in warning and "forward-accept" in warning
    (warning,) = foreign_drops([chain("firewalld", "forward", "drop", "inet")], names)
    assert "nft insert rule inet firewalld FORWARD iifname wharf0 accept" in warning


def test_a_last_rule_that_refuses_all_counts_as_a_policy():
    base = chain("firewalld", "forward", "accept", "inet")
    some = rule("firewalld", {"match": {}}, {"reject": None}, family="inet")
    every = rule("firewalld", {"counter": None}, {"reject": {"type": "icmpx"}}, family="inet")
    assert blockers([base, some], "wharf") == []
    assert [found.by_policy for found in blockers([base, some, every], "wharf")] == [False]
    assert blockers([base, every, some], "wharf") == []
