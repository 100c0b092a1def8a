"""Beside other programs' packet filters: theirs go on working, and ours works where they are asked to let it."""

import os
import re

import pytest

from tests.system.network.bridges import Box, World, load, run, web
from tests.system.network.lab import Lab, inside
from wharf.kernel import nft
from wharf.network.coexist import ForwardAccept, blockers, foreign_drops
from wharf.network.names import Names


@pytest.fixture
def plain(lab: Lab) -> World:
    return World.make(lab)


UFW = """
table ip filter {
  chain ufw-user-forward { }
  chain ufw-before-forward { ct state established,related accept
    icmp type echo-request accept
    jump ufw-user-forward
  }
  chain FORWARD { type filter hook forward priority filter; policy drop;
    counter jump ufw-before-forward
  }
}
"""
FIREWALLD = """
table inet firewalld {
  chain filter_FORWARD_POLICIES { iifname "eth0" reject with icmpx admin-prohibited
  }
  chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    jump filter_FORWARD_POLICIES
    reject with icmpx admin-prohibited
  }
}
"""
DOCKER = """
table ip nat {
  chain DOCKER { iifname "docker0" return
    iifname != "docker0" tcp dport 9000 dnat to 172.17.0.2:80
  }
  chain PREROUTING { type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump DOCKER
  }
  chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept;
    oifname != "docker0" ip saddr 172.17.0.0/16 masquerade
  }
}
table ip filter {
  chain DOCKER-USER { }
  chain DOCKER-FORWARD { oifname "docker0" ct state related,established accept
    oifname "docker0" ip daddr 172.17.0.2 tcp dport 80 accept
    oifname "docker0" drop
    iifname "docker0" accept
  }
  chain FORWARD { type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    counter jump DOCKER-FORWARD
  }
}
"""


def _docker(world: World) -> Box:
    """A container of the other engine: docker0 with one end on it, which serves port 80."""
    sandbox = world.lab.sandbox()
    run("ip", "link", "add", "docker0", "type", "bridge")
    run("ip", "addr", "add", "172.17.0.1/16", "dev", "docker0")
    run("ip", "link", "set", "docker0", "up")
    netns = f"/proc/{os.getpid()}/fd/{sandbox.netns}"
    run("ip", "link", "add", "vd", "type", "veth", "peer", "name", "eth0", "netns", netns)
    run("ip", "link", "set", "vd", "master", "docker0", "up")
    with inside(sandbox.netns):
        run("ip", "addr", "add", "172.17.0.2/16", "dev", "eth0")
        run("ip", "link", "set", "eth0", "up")
        run("ip", "route", "add", "default", "via", "172.17.0.1")
    world.lab.serve_tcp(sandbox.netns, 80)
    return Box(sandbox.netns, world.boxes[0].endpoint)


@pytest.mark.parametrize(
    ("theirs", "blocks"),
    [(UFW, "ip filter FORWARD"), (FIREWALLD, "inet firewalld filter_FORWARD"), (DOCKER, "ip filter FORWARD")],
    ids=["ufw", "firewalld", "dockerd"],
)
def test_another_firewall_keeps_working_and_ours_works_when_asked_to(plain: World, theirs: str, blocks: str):
    facts = plain.network(ipv6=False)
    box = plain.box(facts, web("0.0.0.0", 8080))
    plain.lab.serve_tcp(plain.lab.outside, 80)
    other = _docker(plain) if theirs is DOCKER else None
    load(theirs)
    before = run("nft", "list", "ruleset")
    names = Names("")
    assert plain.cannot(box.netns, "192.0.2.1")  # their policy drops it ...
    (warning,) = foreign_drops(nft.listing(), names, facts.bridge)  # ... and we say so
    assert blocks in warning and "forward-accept" in warning
    accept = ForwardAccept(names)
    said = accept.apply([facts.bridge])
    assert len(said) == 1 and blocks in said[0]
    assert foreign_drops(nft.listing(), names, facts.bridge) == []
    assert plain.can(box.netns, "192.0.2.1") == "192.0.2.2"
    assert plain.can(plain.lab.outside, "192.0.2.2", 8080) == "192.0.2.1"
    assert plain.cannot(plain.lab.outside, box.v4)  # theirs passes it now, ours does not
    if other:
        assert plain.can(other.netns, "192.0.2.1") == "192.0.2.2"
        assert plain.can(plain.lab.outside, "192.0.2.2", 9000) == "192.0.2.1"
        assert plain.cannot(other.netns, box.v4)
    assert plain.cannot(plain.lab.outside, "172.30.9.9")
    accept.apply([facts.bridge])  # again is the same
    accept.remove()
    assert _without_counters(run("nft", "list", "ruleset")) == _without_counters(before)


def _without_counters(text: str) -> str:
    return re.sub(r"packets \d+ bytes \d+", "", text)


def test_what_others_accept_is_no_reason_for_a_warning(plain: World):
    load("table ip filter { chain FORWARD { type filter hook forward priority filter; policy accept;\n counter\n}\n}")
    load("table ip6 filter { chain FORWARD { type filter hook forward priority filter; policy drop;\n}\n}")
    listing = nft.listing()
    assert foreign_drops(listing, Names("")) == []
    (warning,) = foreign_drops(listing, Names(""), ipv6=True)
    assert "ip6tables -I FORWARD -i wharf0 -j ACCEPT" in warning
    assert [blocker.family for blocker in blockers(listing, "wharf")] == ["ip6"]
