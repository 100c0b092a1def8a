"""The DNS codec against an independent reader (dnspython) and against whatever bytes come."""

import dns.edns
import dns.flags
import dns.message
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.network.netd import dns_codec as codec
from wharf.network.netd.dns_codec import Malformed, Record, answer, is_answer, parse_query, passed_on

LABEL = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-_", min_size=1, max_size=20)
NAME = st.lists(LABEL, min_size=1, max_size=8).map(".".join)
KINDS = st.sampled_from(["A", "AAAA", "PTR", "MX", "SRV", "TXT", "HTTPS", "ANY"])


def ask(name: str, kind: str = "A", **options) -> bytes:
    return dns.message.make_query(name, kind, **options).to_wire()


@given(NAME, KINDS, st.booleans(), st.sampled_from([512, 1232, 4096]), st.booleans())
def test_a_query_is_read_as_it_was_meant(name, kind, edns, size, wants_dnssec):
    options = {"use_edns": 0, "payload": size, "want_dnssec": wants_dnssec} if edns else {"use_edns": False}
    message = dns.message.make_query(name, kind, **options)
    query = parse_query(message.to_wire())
    assert (query.id, query.name, query.kind, query.cls) == (message.id, name.lower(), dns.rdatatype.from_text(kind), 1)
    assert (query.edns, query.size) == (edns, size if edns else 512)
    assert query.dnssec_ok == (edns and wants_dnssec)


@given(NAME, st.lists(st.ip_addresses(v=4), max_size=120), st.booleans(), st.sampled_from([0, 512, 1232]))
def test_an_answer_is_read_as_it_was_meant(name, addresses, edns, limit):
    message = dns.message.make_query(name, "A", use_edns=0 if edns else False)
    wire = answer(parse_query(message.to_wire()), 0, [codec.address_record(a) for a in addresses], 600, limit)
    assert len(wire) <= (limit or codec.MAX_MESSAGE)
    read = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert message.is_response(read) and read.flags & dns.flags.RA and read.flags & dns.flags.RD
    assert read.question == message.question and (read.edns == 0) == edns
    got = [str(item[0]) for item in read.answer]
    assert got == [str(address) for address in addresses][: len(got)]
    assert bool(read.flags & dns.flags.TC) == (len(got) < len(addresses))
    assert all(item.ttl == 600 for item in read.answer)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_query_or_refused(data):
    try:
        query = parse_query(data)
    except Malformed as refused:
        assert not refused.reply or (len(refused.reply) >= 12 and refused.reply[:2] == data[:2])
    else:
        assert answer(query, 3)[:2] == data[:2]


@given(NAME, st.binary(max_size=40), st.integers(0, 200))
def test_damage_anywhere_is_survived(name, damage, at):
    wire = bytearray(ask(name, use_edns=0))
    wire[at : at + len(damage)] = damage
    try:
        parse_query(bytes(wire))
    except Malformed as refused:
        assert len(refused.reply) in (0, 12) or refused.reply[3] & 0xF == 0


def head(flags: int = 0x100, questions: int = 1, answers: int = 0, additional: int = 0) -> bytes:
    return b"".join(n.to_bytes(2, "big") for n in (7, flags, questions, answers, 0, additional))


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"", None),
        (head()[:11], None),
        (head(0x8100) + b"\0\0\1\0\1", None),
        (head(0x2800) + b"\0\0\1\0\1", codec.NOT_IMPLEMENTED),
        (head(questions=0), codec.FORMAT_ERROR),
        (head(questions=2) + b"\0\0\1\0\1" * 2, codec.FORMAT_ERROR),
        (head(), codec.FORMAT_ERROR),
        (head() + b"\x05abc", codec.FORMAT_ERROR),
        (head() + b"\xc0\x0c\0\1\0\1", codec.FORMAT_ERROR),  # a name that points to itself
        (head() + b"\x01a\xc0\x0c\0\1\0\1", codec.FORMAT_ERROR),  # a loop by way of a label
        (head() + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", codec.FORMAT_ERROR),
        (head() + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", codec.FORMAT_ERROR),
        (head() + b"\x01a\0\0\1", codec.FORMAT_ERROR),
        (head(additional=60000) + b"\x01a\0\0\1\0\1", codec.FORMAT_ERROR),
        (head(additional=1) + b"\x01a\0\0\1\0\1" + b"\0\0\x29\4\0\0\0\0\0\xff\xff", codec.FORMAT_ERROR),
        (head(additional=2) + b"\x01a\0\0\1\0\1" + b"\0\0\x29\4\0\0\0\0\0\0\0" * 2, codec.FORMAT_ERROR),
        (head(additional=1) + b"\x01a\0\0\1\0\1" + b"\x01b\0\0\x29\4\0\0\0\0\0\0\0", codec.FORMAT_ERROR),
    ],
)
def test_what_is_no_query(wire, code):
    with pytest.raises(Malformed) as refused:
        parse_query(wire)
    if code is None:
        assert refused.value.reply == b""
    else:
        read = dns.message.from_wire(refused.value.reply)
        assert (read.id, int(read.rcode())) == (7, code) and read.flags & dns.flags.QR


def test_a_longer_name_than_dns_has_is_refused_at_its_limit():
    wire = head() + (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0\0\1\0\1"
    assert len(parse_query(wire).name) == 253
    with pytest.raises(Malformed):
        parse_query(head() + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0\0\1\0\1")


def test_another_version_of_edns_is_refused_as_rfc_6891_says():
    message = dns.message.make_query("a.b", "A", use_edns=1)
    with pytest.raises(Malformed) as refused:
        parse_query(message.to_wire())
    read = dns.message.from_wire(refused.value.reply)
    assert read.rcode() == 16 and read.edns == 0


def test_a_dot_within_a_label_is_no_separator():
    wire = head() + b"\x07web.net\0\0\1\0\1"
    assert parse_query(wire).name == "web\\.net"


def test_only_the_answer_to_what_was_asked_is_taken():
    query = parse_query(ask("Web.Example"))
    sent = codec.with_id(query.wire, 99)
    right = answer(parse_query(sent), 0, [Record(codec.A, b"\1\2\3\4")], 5)
    assert is_answer(query, 99, right)
    assert is_answer(query, 99, right.replace(b"Web", b"web"))
    assert not is_answer(query, 98, right)
    assert not is_answer(query, 99, sent)
    assert not is_answer(query, 99, right.replace(b"Web", b"Wob"))
    assert not is_answer(query, 99, right[:11])
    bare = head(0x8182, questions=0).replace(b"\0\7", b"\0\x63", 1)
    assert is_answer(query, 99, bare) and not is_answer(query, 99, head(0x8180, questions=0))


@given(st.binary(max_size=200), st.integers(0, 65535))
def test_any_bytes_may_come_as_an_answer(data, ident):
    query = parse_query(ask("a.b"))
    if is_answer(query, ident, data):
        assert passed_on(query, data)[:2] == query.wire[:2]


def test_an_answer_too_long_for_the_asker_becomes_a_short_one():
    query = parse_query(ask("big.example", use_edns=0, payload=600))
    long = answer(query, 0, [Record(codec.A, bytes(4))] * 200, 5)
    short = dns.message.from_wire(passed_on(query, long, query.size))
    assert short.flags & dns.flags.TC and not short.answer and short.edns == 0
    assert passed_on(query, long) == long


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("4.3.18.172.in-addr.arpa", bytes([172, 18, 3, 4])),
        ("04.3.18.172.in-addr.arpa", None),
        ("256.3.18.172.in-addr.arpa", None),
        ("3.18.172.in-addr.arpa", None),
        ("x.3.18.172.in-addr.arpa", None),
        ("1." + "0." * 27 + "8.b.d.f.ip6.arpa", bytes.fromhex("fdb8" + "0" * 27 + "1")),
        ("g." + "0." * 27 + "8.b.d.f.ip6.arpa", None),
        ("web", None),
    ],
)
def test_reverse_names(name, address):
    assert codec.reverse_address(name) == address
