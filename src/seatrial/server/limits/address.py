"""Whose address a request has, behind proxies or not, and which of them count as one."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

IPV6_PREFIX = 64
"""One customer of a provider has at least so many addresses of IPv6."""
HOPS = 20
"""How many addresses of a header are looked at."""


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Proxies that are trusted: addresses, or networks. Raises `ValueError`.

    Everything (`*`, `0.0.0.0/0`) cannot be trusted: then whoever calls says what their address is.
    """
    found = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"expected addresses or networks, such as 10.0.0.0/8; received {text[:50]!r}") from None
        if network.prefixlen == 0:
            raise ValueError(f"{text} trusts everybody to say what their address is: name your proxies")
        found.append(network)
    return tuple(found)


class Addresses:
    """Tells the address of a caller. `trusted` are the proxies whose `X-Forwarded-For` is believed."""

    def __init__(self, trusted: tuple[Network, ...] = ()) -> None:
        self._trusted = trusted

    def caller(self, peer: str | None, headers: dict[bytes, bytes]) -> str:
        """The address that a request came from: the peer, or what the nearest proxies that are trusted say it was.

        Of a list, which each proxy adds to at the right, that is the right-most one which is no trusted proxy itself.
        """
        if not self._trusted or peer is None or not self.is_trusted(peer):
            return peer or ""
        address = peer
        for hop in reversed(headers.get(b"x-forwarded-for", b"").split(b",")[-HOPS:]):
            parsed = _parse(hop.strip().decode("latin-1"))
            if parsed is None:
                break
            address = str(parsed)
            if not self.is_trusted(address):
                break
        return address

    def is_trusted(self, address: str) -> bool:
        """Whether an address is a proxy's that is trusted."""
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._trusted)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What is counted as one caller: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = _parse(address)
    if parsed is None:
        return "unknown"
    if parsed.version == 4:  # noqa: PLR2004 - of IP
        return str(parsed)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
