"""One HTTP request with every limit drawn: address, time, size, no redirect, and what was sent.

For services that are not of the OpenAI kind and for images that an answer names by address.
A name is resolved once and that very address is connected to, so that nobody can answer a
check with one address and the connection with another. No proxy is used. Knows nothing of
Django.
"""

from __future__ import annotations

import functools
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
CHUNK_BYTES = 1 << 16
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
DEFAULT_PORTS = {"http": 80, "https": 443}


class WebError(Exception):
    """The exchange came to no whole answer."""


class NotSentError(WebError):
    """Nothing left this machine: wrong or forbidden address, no connection."""


class ForbiddenAddressError(NotSentError):
    """The address is one that must not be reached."""


class BrokenOffError(WebError):
    """The request left, and no whole answer came: too late, too large, or cut off."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request goes."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def shown(self) -> str:
        """The address without what may be secret in its path and query."""
        return f"{self.scheme}://{self.host}:{self.port}"


def address_of(url: str) -> Address:
    """Return the parts of an http(s) address. Raises NotSentError for every other."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        host = (parts.hostname or "").rstrip(".").encode("idna").decode()
    except ValueError:
        raise NotSentError("That is no address.") from None
    if parts.scheme not in DEFAULT_PORTS or not host or parts.username is not None:
        raise NotSentError("Only http:// and https:// addresses without a user name are taken.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if any(ord(character) <= 32 or ord(character) == 127 for character in path):
        raise NotSentError("That is no address.")
    return Address(parts.scheme, host, port, path)


def is_public(ip: IPAddress) -> bool:
    """Say whether an address lies on the open internet, also one that wraps an IPv4 address."""
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return ip.is_global and not ip.is_multicast


def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_s: float,
    max_bytes: int,
    may_reach: Callable[[IPAddress], bool] = lambda _: True,
) -> Answer:
    """Send one request and return the whole answer, whatever its status; redirects are answers.

    Args:
        timeout_s: for all of it, from the name's resolution to the last byte.
        max_bytes: of the answer's body.
        may_reach: says of each resolved address whether it may be connected to; one that may
            not forbids the name.
    Raises:
        NotSentError, BrokenOffError.
    """
    ends_at = time.monotonic() + timeout_s
    address = address_of(url)
    connection = _connected(address, ends_at, may_reach)
    try:
        connection.request(method, address.path, body=body, headers=dict(headers or {}))
        return _read(connection, ends_at, max_bytes, address)
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() >= ends_at or isinstance(error, TimeoutError)
        why = f"gave no whole answer within {timeout_s:g} s" if late else "broke off"
        raise BrokenOffError(f"{address.shown} {why}.") from error
    finally:
        connection.close()


def _connected(
    address: Address, ends_at: float, may_reach: Callable[[IPAddress], bool]
) -> http.client.HTTPConnection:
    """Return an open connection to the one address that was checked. Raises NotSentError."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSentError(f"{address.host} is not known: is the name right?") from error
    ips = list(
        dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found)
    )
    if not ips or not all(may_reach(ip) for ip in ips):
        raise ForbiddenAddressError(f"{address.shown} is an address that must not be asked.")
    for number, ip in enumerate(ips, 1):
        connection = _Pinned(address, str(ip), timeout_s=max(0.1, min(10, _left(ends_at))))
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            if number == len(ips):
                raise NotSentError(
                    f"{address.shown} cannot be reached: is the server running, the address right?"
                ) from error
            continue
        assert connection.sock is not None
        connection.sock.settimeout(max(0.1, _left(ends_at)))
        return connection
    raise AssertionError("the last address either connects or raises")


def _read(
    connection: http.client.HTTPConnection, ends_at: float, max_bytes: int, address: Address
) -> Answer:
    response = connection.getresponse()
    told = response.getheader("content-length", "")
    promised = int(told) if told.isdigit() and not response.chunked else None
    parts, size = [], 0
    # Older Pythons wait for more after the last promised byte, so they are counted here.
    while size != promised and (part := response.read1(CHUNK_BYTES)):
        size += len(part)
        if size > max_bytes:
            raise BrokenOffError(f"{address.shown} sends more than {max_bytes:,} bytes.")
        if _left(ends_at) <= 0:
            raise TimeoutError
        parts.append(part)
        if connection.sock is not None:
            connection.sock.settimeout(max(0.1, _left(ends_at)))
    # A head that was cut off looks like an answer without a length; an honest one closes.
    is_cut = response.length is None and response.version >= 11 and not response.chunked
    if is_cut and response.getheader("connection", "").lower() != "close":
        raise http.client.IncompleteRead(b"")
    if promised is not None and size < promised:
        raise http.client.IncompleteRead(b"", promised - size)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, b"".join(parts))


def _left(ends_at: float) -> float:
    return ends_at - time.monotonic()


class _Pinned(http.client.HTTPConnection):
    """A connection to one resolved address, speaking to the host by its name."""

    def __init__(self, address: Address, ip: str, *, timeout_s: float) -> None:
        super().__init__(address.host, address.port, timeout=timeout_s)
        self.default_port = DEFAULT_PORTS[address.scheme]
        self._is_tls = address.scheme == "https"
        self._ip = ip

    def connect(self) -> None:
        self.sock = socket.create_connection((self._ip, self.port), self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._is_tls:
            self.sock = _tls().wrap_socket(self.sock, server_hostname=self.host)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
