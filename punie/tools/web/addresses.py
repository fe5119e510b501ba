"""Which addresses of the network may be asked for a page: public ones, unless the user wants more.

A page's text comes from strangers, and so may the address of the next one: nothing on this machine
or in the network around it may be reached by that. The name is looked up once and the connection
goes to the address that was looked at, so that a second answer of the name server changes nothing.
"""

import ipaddress
import socket

import anyio

from punie.tools.base import ToolError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Public addresses that reach into the machine that a cloud runs us on.
_METADATA = {ipaddress.ip_address("168.63.129.16")}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_MOST_ADDRESSES = 4


def is_public(address: IpAddress) -> bool:
    """Tell whether an address is in the public network, and so is what it stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    usual = address.is_global and not address.is_multicast and not address.is_reserved
    return usual and address not in _METADATA


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the old address that a new one carries: mapped, translated or tunnelled."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    return address.teredo[1] if address.teredo is not None else None


async def reachable_addresses(host: str, port: int, *, private: bool) -> list[str]:
    """Look a host up and return its addresses; raise `ToolError` if one may not be reached.

    One address that is not public is enough to refuse: nobody needs such a host.
    """
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ToolError(f"{host} is not known to the name server") from error
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    for text in addresses:
        if not private and not is_public(ipaddress.ip_address(text)):
            raise ToolError(
                f"{host} is an address of this machine or its network, which web_fetch does not "
                "reach; use run_command, as in curl"
            )
    return addresses[:_MOST_ADDRESSES]
