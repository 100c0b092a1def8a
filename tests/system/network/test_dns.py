"""The resolver on 127.0.0.11: netd as it runs, real packets in namespaces, dnspython on the other side."""

import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Interface

import dns.flags
import dns.message
import pytest

from tests.system.network.dns_lab import (
    NameServer,
    addresses,
    exchange,
    look_up,
    many,
    truncated_by_udp,
)
from tests.system.network.dns_place import OUTSIDE, WEB, Place, endpoint
from tests.system.network.lab import inside


def test_names_of_the_network_by_udp_and_tcp(here: Place):
    for tcp in (False, True):
        for name in ("web", "WEB", "web.front_net"):
            assert look_up(here.netns, name, tcp=tcp) == ["172.30.0.2"]
        assert look_up(here.netns, "www", tcp=tcp) == ["172.30.0.2", "172.30.0.3"]
        assert look_up(here.netns, "web", "AAAA", tcp=tcp) == ["fd00::2"]
        assert look_up(here.netns, "web2", "AAAA", tcp=tcp) == []
        assert look_up(here.netns, "2.0.30.172.in-addr.arpa", "PTR", tcp=tcp) == ["web.front_net."]


def test_the_sandbox_keeps_port_53_for_itself(here: Place):
    with inside(here.netns):
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stream = socket.create_server(("0.0.0.0", 53))
    with own, stream:
        own.bind(("0.0.0.0", 53))
        assert look_up(here.netns, "web") == look_up(here.netns, "web", tcp=True) == ["172.30.0.2"]
        assert not select.select([own, stream], [], [], 0)[0]


def test_a_network_of_others_is_asked_upstream(here: Place):
    server = NameServer(addresses(rcode=3)).start(here.lab, here.lab.outside, OUTSIDE)
    assert look_up(here.netns, "db") == look_up(here.netns, "db.back_net") == ["<NXDOMAIN>"]
    assert [seen[0] for seen in server.seen] == ["db", "db.back_net"]


def test_upstream_is_asked_from_inside_or_from_the_host(here: Place):
    server = NameServer(addresses("198.18.0.1")).start(here.lab, here.lab.outside, OUTSIDE)
    mine = NameServer(addresses("198.18.0.2")).start(here.lab, here.lab.host, "127.0.0.53")
    assert look_up(here.netns, "example.org") == ["198.18.0.1"]
    here.resolver("front", servers=("host(127.0.0.53)",))
    assert look_up(here.netns, "example.org") == look_up(here.netns, "example.org", tcp=True) == ["198.18.0.2"]
    assert [seen[2] for seen in mine.seen] == ["127.0.0.1"] * 2 and len(server.seen) == 1
    inner = NameServer(addresses("198.18.0.3")).start(here.lab, here.netns, "127.0.0.1")
    here.resolver("front", servers=("127.0.0.1",))
    assert look_up(here.netns, "example.org") == ["198.18.0.3"] and len(inner.seen) == 1


@pytest.mark.parametrize("kind", ["MX", "SRV", "TXT", "HTTPS", "ANY", "PTR"])
def test_what_is_not_ours_goes_upstream_whatever_its_kind(here: Place, kind: str):
    server = NameServer(addresses()).start(here.lab, here.lab.outside, OUTSIDE)
    assert look_up(here.netns, "_sip._tcp.example.org", kind) == []
    assert look_up(here.netns, "web", kind) == []
    assert [seen[:2] for seen in server.seen] == [("_sip._tcp.example.org", kind)]


def test_addresses_that_are_not_ours_are_asked_upstream(here: Place):
    server = NameServer(addresses(rcode=3)).start(here.lab, here.lab.outside, OUTSIDE)
    assert look_up(here.netns, "9.9.31.172.in-addr.arpa", "PTR") == ["<NXDOMAIN>"]
    assert server.seen[0][0] == "9.9.31.172.in-addr.arpa"


def test_the_next_server_where_one_is_silent_absent_or_refuses(here: Place):
    lab = here.lab
    with inside(lab.outside):
        for number in (11, 12, 13):
            subprocess.run(["ip", "addr", "add", f"192.0.2.{number}/24", "dev", "eth0"], check=True)
    NameServer(lambda question, by_tcp: None).start(lab, lab.outside, "192.0.2.11")
    refusing = NameServer(addresses(rcode=5)).start(lab, lab.outside, "192.0.2.12")
    good = NameServer(addresses("198.18.0.9")).start(lab, lab.outside, "192.0.2.13")
    here.resolver("front", servers=("192.0.2.12", OUTSIDE, "192.0.2.13"))  # nobody listens on the second
    begin = time.monotonic()
    assert look_up(here.netns, "example.org") == look_up(here.netns, "example.org", tcp=True) == ["198.18.0.9"]
    assert time.monotonic() - begin < 1 and len(refusing.seen) == 2
    here.resolver("front", servers=("192.0.2.11", "192.0.2.13"))
    assert look_up(here.netns, "example.org") == ["198.18.0.9"] and len(good.seen) == 3
    here.resolver("front", servers=("192.0.2.12",))
    assert look_up(here.netns, "example.org") == ["<REFUSED>"]
    here.resolver("front", servers=(OUTSIDE,))
    assert look_up(here.netns, "example.org") == ["<SERVFAIL>"]


def test_a_slow_server_may_still_answer_first(here: Place):
    lab, later = here.lab, threading.Event()
    with inside(lab.outside):
        subprocess.run(["ip", "addr", "add", "192.0.2.11/24", "dev", "eth0"], check=True)

    def slow(question: dns.message.Message, by_tcp: bool) -> dns.message.Message | None:
        later.wait(10)
        return addresses("198.18.0.1")(question, by_tcp)

    def silent(question: dns.message.Message, by_tcp: bool) -> None:
        later.set()  # asked only after the first was given a second

    NameServer(slow).start(lab, lab.outside, OUTSIDE)
    NameServer(silent).start(lab, lab.outside, "192.0.2.11")
    here.resolver("front", servers=(OUTSIDE, "192.0.2.11"))
    assert look_up(here.netns, "example.org") == ["198.18.0.1"]


def test_long_answers_are_fetched_by_tcp(here: Place):
    lab, long = here.lab, many(100)
    server = NameServer(truncated_by_udp(addresses(*long))).start(lab, lab.outside, OUTSIDE)
    assert look_up(here.netns, "example.org", use_edns=0, payload=4096) == sorted(long)
    assert len(server.seen) == 2
    message = dns.message.make_query("example.org", "A", use_edns=False)
    short = exchange(here.netns, message)
    assert short.flags & dns.flags.TC and len(short.to_wire()) <= 512
    assert look_up(here.netns, "example.org", tcp=True) == sorted(long)


def test_a_truncated_answer_is_better_than_none(here: Place):
    lab = here.lab
    NameServer(truncated_by_udp(addresses("198.18.0.1"))).start(lab, lab.outside, OUTSIDE, tcp=False)
    message = dns.message.make_query("example.org", "A")
    assert exchange(here.netns, message).flags & dns.flags.TC


def test_many_bearers_of_one_name_do_not_fit_into_a_small_datagram(here: Place):
    for number in range(60):
        here.names.join(endpoint("front", f"r{number}", ("many",), f"172.30.1.{number}"))
    message = dns.message.make_query("many", "A", use_edns=False)
    short = exchange(here.netns, message)
    assert short.flags & dns.flags.TC and 20 < len(short.answer[0]) < 60
    assert len(look_up(here.netns, "many", tcp=True)) == len(look_up(here.netns, "many", use_edns=0)) == 60


def test_internal_networks_ask_nobody(here: Place):
    server = NameServer(addresses("198.18.0.1")).start(here.lab, here.lab.outside, OUTSIDE)
    here.resolver("front", forward=False)
    assert look_up(here.netns, "web") == ["172.30.0.2"]
    assert look_up(here.netns, "example.org") == look_up(here.netns, "nobody") == ["<SERVFAIL>"]
    here.resolver("front", servers=())
    assert look_up(here.netns, "example.org") == ["<SERVFAIL>"]
    assert server.seen == []


def test_single_names_stay_here_where_ndots_was_given(here: Place):
    server = NameServer(addresses("198.18.0.1")).start(here.lab, here.lab.outside, OUTSIDE)
    here.resolver("front", ndots=True)
    assert look_up(here.netns, "nobody") == [] and server.seen == []
    assert look_up(here.netns, "no.body") == ["198.18.0.1"]


def test_links_belong_to_their_sandbox(place: Callable[[], Place]):
    one, two = place(), place()
    NameServer(addresses(rcode=3)).start(one.lab, one.lab.outside, OUTSIDE)
    one.resolver("front", links={"store": ("front", "web2")})
    two.resolver("front")
    assert look_up(one.netns, "store") == look_up(one.netns, "STORE.front_net") == ["172.30.0.3"]
    assert look_up(two.netns, "store") == ["<NXDOMAIN>"]


def test_changes_are_heard_at_once(here: Place):
    NameServer(addresses(rcode=3)).start(here.lab, here.lab.outside, OUTSIDE)
    here.names.leave(WEB)
    assert look_up(here.netns, "web") == ["<NXDOMAIN>"] and look_up(here.netns, "www") == ["172.30.0.3"]
    here.names.join(replace(WEB, address=IPv4Interface("172.30.9.9/16")))
    assert look_up(here.netns, "web") == ["172.30.9.9"]
    here.resolver("front", "back")
    assert look_up(here.netns, "db") == ["172.31.0.2"]
