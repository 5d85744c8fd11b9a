"""Whose address a request has."""

import pytest

from seatrial.server.limits.address import HOPS, Addresses, network_of, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "fd00::/8", "192.0.2.1"])


def caller(peer: str | None, forwarded: str | None = None, *, trusting: bool = True) -> str:
    headers = {} if forwarded is None else {b"x-forwarded-for": forwarded.encode("latin-1")}
    return Addresses(PROXIES if trusting else ()).caller(peer, headers)


@pytest.mark.proves("S34")
@pytest.mark.parametrize("peer", ["198.51.100.7", "2001:db8::1", "192.0.2.2", "testclient", ""])
def test_who_is_no_proxy_of_ours_says_nothing_of_others(peer: str) -> None:
    """Whatever it sends."""
    assert caller(peer, "203.0.113.9") == peer


@pytest.mark.proves("S34")
def test_nobody_is_believed_unless_the_operator_says_so() -> None:
    """Loopback neither."""
    for peer in ("10.0.0.1", "127.0.0.1"):
        assert caller(peer, "203.0.113.9", trusting=False) == peer
    assert caller(None, "203.0.113.9") == ""


@pytest.mark.proves("S34")
@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6,203.0.113.9,10.0.0.2", "203.0.113.9"),
        ("203.0.113.9, 192.0.2.1, fd00::2 ,10.0.0.2", "203.0.113.9"),
        ("::ffff:203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
        ("2001:DB8::0001%evil\u00e9", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        ("6.6.6.6, 1.2.3.4:80", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("\xff\xfe", "10.0.0.1"),
        (None, "10.0.0.1"),
    ],
)
def test_the_right_most_address_that_is_no_proxy(forwarded: str | None, address: str) -> None:
    """What stands left of it anybody can have written; where it cannot be read, the last one that can counts."""
    assert caller("10.0.0.1", forwarded) == address


def test_a_long_list_is_not_read_to_its_end() -> None:
    """Only so many hops."""
    assert caller("10.0.0.1", ",".join(["203.0.113.9", *["10.0.0.2"] * (HOPS - 1)])) == "203.0.113.9"
    assert caller("10.0.0.1", ",".join(["203.0.113.9", *["10.0.0.2"] * HOPS])) == "10.0.0.2"


@pytest.mark.proves("S34")
@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "198.51.100.7/0"])
def test_everybody_cannot_be_trusted(text: str) -> None:
    """It says why."""
    with pytest.raises(ValueError, match="trusts everybody to say what their address is: name your proxies"):
        parse_networks([text])


@pytest.mark.parametrize("text", ["*", "", "proxy.example", "10.0.0.0/33", "10.0.0"])
def test_what_is_no_network(text: str) -> None:
    """It says what would be."""
    with pytest.raises(ValueError, match=r"expected addresses or networks, such as 10\.0\.0\.0/8; received"):
        parse_networks(["10.0.0.1", text])


@pytest.mark.proves("S34")
@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("testclient", "unknown"),
    ],
)
def test_what_counts_as_one_caller(address: str, network: str) -> None:
    """An address of IPv4 in whichever form, or all that one customer has of IPv6."""
    assert network_of(address) == network
