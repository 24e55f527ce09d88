"""Pictures from public addresses, where the operator allows it. Must not know what they are for.

A request that makes a server fetch is a way into the server's own network, so: http and https on their own
ports only; every address that the name leads to has to be public, also the IPv4 address inside an IPv6 one;
the connection goes to the very address that was checked, so that a second answer of the name server changes
nothing; each redirect is checked anew; bytes and time are limited.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from urllib.parse import SplitResult, urljoin, urlsplit

from qbg.serve.problems import ProblemError

MOST_REDIRECTS = 3
PORTS = {"http": 80, "https": 443}
REDIRECTS = (301, 302, 303, 307, 308)
BLOCK = 64 << 10
LONGEST_URL = 4096

NAT64 = ipaddress.ip_network("64:ff9b::/96")


def fetch(url: str, limit: int, seconds: float) -> bytes:
    """What is there.

    Args:
        url: of a picture.
        limit: bytes.
        seconds: for all of it.

    Raises:
        ProblemError: it may not be fetched, or can't be.
    """
    end = time.monotonic() + seconds
    for _ in range(MOST_REDIRECTS + 1):
        parts = _checked(url)
        try:
            answer = _get(parts, limit, end)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ProblemError(422, "url", f"can't be fetched: {type(error).__name__}") from error
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise ProblemError(422, "url", f"more than {MOST_REDIRECTS} redirects")


def public(host: str) -> str:
    """The address to connect to, for a name or an address that is public in all it leads to.

    Raises:
        ProblemError: it isn't, or there is no such name.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ProblemError(422, "url", "there is no such host") from error
    addresses = [str(item[4][0]).partition("%")[0] for item in found]
    if not addresses or not all(_is_public(address) for address in addresses):
        raise ProblemError(400, "url", "only public addresses may be fetched")
    return addresses[0]


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if address.teredo is not None:
            inside = address.teredo[1]
        if address in NAT64:
            inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None and not _is_public(str(inside)):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ProblemError(400, "url", "not an address") from error
    if len(url) > LONGEST_URL or parts.scheme not in PORTS or not parts.hostname:
        raise ProblemError(400, "url", "an address begins with https:// or http://")
    if parts.username is not None or port not in (None, PORTS[parts.scheme]):
        raise ProblemError(400, "url", "no user names and no ports of their own in addresses")
    return parts


def _get(parts: SplitResult, limit: int, end: float) -> bytes | str:
    """The content, or where it has gone."""
    host = str(parts.hostname)
    raw = socket.create_connection((public(host), PORTS[parts.scheme]), timeout=_rest(end))
    connection = http.client.HTTPConnection(host, timeout=_rest(end))
    try:
        connection.sock = (
            ssl.create_default_context().wrap_socket(raw, server_hostname=host)
            if parts.scheme == "https"
            else raw
        )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "qbg", "Accept": "image/*"})
        answer = connection.getresponse()
        if answer.status in REDIRECTS:
            place = answer.headers.get("Location")
            if place is None:
                raise ProblemError(422, "url", "a redirect to nowhere")
            return place
        if answer.status != 200:
            raise ProblemError(422, "url", f"the host answers with status {answer.status}")
        found = bytearray()
        while block := answer.read1(BLOCK):
            found += block
            if len(found) > limit:
                raise ProblemError(413, "too large", f"more than {limit >> 20} MiB")
            raw.settimeout(_rest(end))
        return bytes(found)
    finally:
        connection.close()
        raw.close()


def _rest(end: float) -> float:
    rest = end - time.monotonic()
    if rest <= 0:
        raise TimeoutError
    return rest
