"""The socket and the patience that `netadapt serve` gives its connections."""

import socket

from httpx._config import DEFAULT_LIMITS

from app.cli.serving import listening
from app.connections import KEEP_ALIVE_S


def test_an_accepted_connection_sends_at_once_what_is_written():
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_an_idle_connection_is_kept_longer_than_a_client_would_use_it():
    assert DEFAULT_LIMITS.keepalive_expiry is not None
    assert DEFAULT_LIMITS.keepalive_expiry < KEEP_ALIVE_S
