"""Which names one sandbox gets to hear."""

import ipaddress

import dns.message
import dns.rdatatype
import dns.reversename

from wharf.network.netd.dns_codec import parse_query
from wharf.network.netd.dns_names import Tables, View, named, reply


def packed(*texts: str) -> list[bytes]:
    return [ipaddress.ip_address(text).packed for text in texts]


def tables() -> Tables:
    made = Tables()
    for ident, network, names, addresses in (
        ("e1", "front", ("web", "WWW", "aaaaaaaaaaaa"), ("172.18.0.2", "fd00::2")),
        ("e2", "front", ("web2", "www", "bbbbbbbbbbbb"), ("172.18.0.3",)),
        ("e3", "back", ("db", "only", "cccccccccccc"), ("172.19.0.2",)),
        ("e4", "back", ("web", "dddddddddddd"), ("172.19.0.3", "fd01::3")),
        ("e5", "six", ("v6",), ("fd02::5",)),
    ):
        made.put(ident, named(network, f"{network}_net", "s" + ident, names, packed(*addresses)), f"{network}_net")
    return made


def view(*networks: str, links: dict | None = None, ndots: bool = False) -> View:
    return View(networks, links or {}, (), True, ndots)


def ask(seen: View, name: str, kind: str = "A", known: Tables | None = None) -> list[str] | None:
    """The data of the answer, None: others are to be asked."""
    wire = dns.message.make_query(name, kind, use_edns=False).to_wire()
    found = reply(known or tables(), seen, parse_query(wire))
    if found is None:
        return None
    read = dns.message.from_wire(found)
    assert read.rcode() == 0
    return sorted(str(data) for records in read.answer for data in records)


def test_names_aliases_and_ids_in_any_case():
    for name in ("web", "WEB", "Web.", "aaaaaaaaaaaa", "web.front_net", "WEB.Front_Net"):
        assert ask(view("front"), name) == ["172.18.0.2"], name
    assert ask(view("front"), "www") == ["172.18.0.2", "172.18.0.3"]


def test_a_network_that_the_sandbox_is_not_on_is_not_heard():
    assert ask(view("front"), "db") is None
    assert ask(view("front"), "db.back_net") is None
    assert ask(view(), "web") is None


def test_the_first_network_that_knows_a_name_wins():
    assert ask(view("front", "back"), "web") == ["172.18.0.2"]
    assert ask(view("back", "front"), "web") == ["172.19.0.3"]
    assert ask(view("front", "back"), "web.back_net") == ["172.19.0.3"]


def test_the_missing_family_is_empty_and_looked_for_on_the_next_network():
    assert ask(view("front"), "web2", "AAAA") == []
    assert ask(view("six"), "v6") == []
    assert ask(view("back", "front"), "web", "AAAA") == ["fd01::3"]
    merged = tables()
    merged.put("e6", named("front", "front_net", "s6", ["db"], packed("fd00::9")), "front_net")
    assert ask(view("front", "back"), "db", "A", merged) == ["172.19.0.2"]


def test_other_kinds_of_a_known_name_are_empty_and_of_others_passed_on():
    for kind in ("MX", "TXT", "HTTPS", "SRV", "ANY"):
        assert ask(view("front"), "web", kind) == []
        assert ask(view("front"), "example.org", kind) is None
    assert ask(view("front"), "_http._tcp.web", "SRV") is None


def test_addresses_are_called_by_the_first_name():
    for address, name in (("172.18.0.2", "web.front_net."), ("fd00::2", "web.front_net.")):
        question = dns.reversename.from_address(address).to_text()
        assert ask(view("front"), question, "PTR") == [name]
        assert ask(view("back"), question, "PTR") is None


def test_links_are_heard_by_their_own_sandbox_and_before_names():
    linked = view("front", "back", links={"web": ("back", "DB"), "store": ("back", "db")})
    assert ask(linked, "store") == ask(linked, "web") == ["172.19.0.2"]
    assert ask(linked, "store.back_net") == ["172.19.0.2"]
    assert ask(linked, "store.front_net") is None
    assert ask(view("front", "back"), "store") is None
    gone = view("front", "back", links={"web": ("back", "nobody")})
    assert ask(gone, "web") == ["172.18.0.2"]


def test_single_names_stay_here_where_ndots_was_given():
    assert ask(view("front", ndots=True), "nobody") == []
    assert ask(view("front", ndots=True), "nobody", "MX") is None
    assert ask(view("front", ndots=True), "no.body") is None


def test_round_robin_begins_with_each():
    known, seen = tables(), view("front")
    first = set()
    for _ in range(200):
        wire = dns.message.make_query("www", "A").to_wire()
        read = dns.message.from_wire(reply(known, seen, parse_query(wire)) or b"")
        first.add(str(read.answer[0][0]))
    assert first == {"172.18.0.2", "172.18.0.3"}


def test_what_is_dropped_is_gone_and_leaves_the_others():
    known = tables()
    known.drop("e1")
    known.drop("e1")
    assert ask(view("front"), "web", known=known) is None
    assert ask(view("front"), "www", known=known) == ["172.18.0.3"]
    known.drop_sandbox("se2")
    assert ask(view("front"), "www", known=known) is None
    assert set(known.idents()) == {"e3", "e4", "e5"}


def test_an_endpoint_said_anew_takes_the_place_of_the_old_one():
    known = tables()
    known.put("e1", named("front", "front_net", "se1", ["web"], packed("172.18.0.9")), "front_net")
    assert ask(view("front"), "web", known=known) == ["172.18.0.9"]
    assert ask(view("front"), "aaaaaaaaaaaa", known=known) is None


def test_names_with_dots_and_names_too_long():
    known = Tables()
    names = ["a" * 64, "my.service.v1"]
    known.put("e", named("n", "net.one", "s", names, packed("10.0.0.2")), "net.one")
    for name in ("my.service.v1", "my.service.v1.net.one"):
        assert ask(view("n"), name, known=known) == ["10.0.0.2"]
    assert ask(view("n"), "2.0.0.10.in-addr.arpa", "PTR", known) == ["my.service.v1.net.one."]
