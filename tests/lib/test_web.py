"""One HTTP request: every limit is kept, and it is known whether anything was sent."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from synthreview.lib import web


@contextmanager
def serving(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that hears each request and then speaks as told."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(100_000)
                    try:
                        speak(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/path?query=1"
        stop.set()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def says(text: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(text)


def get(url: str, **limits: object) -> web.Answer:
    return web.exchange("GET", url, **{"timeout_s": 5, "max_bytes": 1000, **limits})  # type: ignore[arg-type]


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Name: Value\r\n\r\n"
    b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Name: Value\r\n\r\nhello",
        CHUNKED,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-Name: Value\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nX-Name: Value\r\n\r\nhello",
    ],
)
def test_a_whole_answer_is_returned_however_its_end_is_told(answer: bytes) -> None:
    with serving(says(answer)) as url:
        got = get(url)
    assert (got.status, got.body, got.headers["x-name"]) == (200, b"hello", "Value")


def test_an_answer_on_a_connection_that_stays_open_is_not_waited_for() -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(1)  # until the other side closes

    with serving(speak) as url:
        assert get(url, timeout_s=3600).body == b"ok"


def test_the_request_carries_what_it_was_given() -> None:
    heard: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(10_000))
                speak(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        web.exchange(
            "POST",
            f"http://localhost:{port}/a%20b?c=d",
            headers={"X-Key": "1"},
            body=b"body",
            timeout_s=5,
            max_bytes=10,
        )
        thread.join()
    lines = heard[0].decode().split("\r\n")
    assert lines[0] == "POST /a%20b?c=d HTTP/1.1"
    assert f"Host: localhost:{port}" in lines
    assert "X-Key: 1" in lines


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    text = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    with serving(says(text)) as url:
        assert get(url).status == 302


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "broke off"),
        (b"HTTP/1.1 200", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "broke off"),
        (b"no http at all\r\n\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, "more than 1,000 bytes"),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 2000, "more than 1,000 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000, "broke off"),
    ],
)
def test_what_is_no_whole_answer_is_told_apart_from_nothing_sent(
    answer: bytes, message: str
) -> None:
    with serving(says(answer)) as url, pytest.raises(web.BrokenOffError, match=message):
        get(url)


def test_silence_and_trickle_end_with_the_time_out() -> None:
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        over.wait()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
        while not over.wait(0.02):
            connection.sendall(b"x")

    for speak in (silent, trickle):
        over.clear()
        with serving(speak) as url:
            with pytest.raises(web.BrokenOffError, match=r"no whole answer within 0\.3 s"):
                get(url, timeout_s=0.3)
            over.set()


def test_nothing_was_sent_where_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(web.NotSentError, match="cannot be reached"):
            get(f"http://127.0.0.1:{closed.getsockname()[1]}/")


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "ftp://host/", "file:///etc/passwd", "http://", "http://a b/", "http://h:99999/",
     "http://user@host/", "http://host/a b", "http://host/\r\nX: y", "http://" + "a" * 300],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(web.NotSentError):
        get(url)


def test_one_forbidden_address_of_a_name_forbids_it_and_no_packet_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name with a public and a private address may be a trap."""

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", ("93.184.215.14", port)), (2, 1, 6, "", ("127.0.0.1", port))]

    def connect(*_: object) -> socket.socket:
        raise AssertionError("a packet would have left")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(web.ForbiddenAddressError):
        get("http://trap.example/", may_reach=web.is_public)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 1, 6, "", ("93.184.215.14", port))]

    def connect(address: tuple[str, int], *_: object) -> socket.socket:
        asked.append(address[0])
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(web.NotSentError):
        get("http://rebinding.example/", may_reach=web.is_public)
    assert asked == ["rebinding.example", "93.184.215.14"]


@pytest.mark.parametrize(
    ("ip", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_public_addresses_are_told_from_all_others(ip: str, public: bool) -> None:
    assert web.is_public(ipaddress.ip_address(ip)) is public
