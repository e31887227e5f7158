"""One message to real servers on loopback, the hostile ones among them."""

import asyncio
import ssl
import threading
import time
from ipaddress import ip_network

import httpcore
import pytest
import trustme

from app.webhooks.addresses import AddressPolicy
from app.webhooks.records import Outcome
from app.webhooks.sending import NOWHERE, CheckedBackend, NowhereToSend, Sender
from tests.receivers import Receiving, receiver, status

LOOPBACK = AddressPolicy([ip_network("127.0.0.0/8")])
HEADERS = {"webhook-id": "dlv_1"}


class Names:
    """A resolver: answers in turn, and remembers how often it was asked."""

    def __init__(self, *answers: str | list[str]) -> None:
        self.asked: list[str] = []
        self._answers = [[answer] if isinstance(answer, str) else answer for answer in answers]

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


def send(url: str, *, policy: AddressPolicy = LOOPBACK, timeout_s: float = 20.0, **named: object) -> Outcome:
    sender = Sender(policy, timeout_s=timeout_s, **named)  # type: ignore[arg-type]
    return asyncio.run(sender.send(url, HEADERS, b'{"a":1}'))


def test_a_message_arrives_to_the_byte_with_the_names_host():
    with receiver() as there:
        names = Names("127.0.0.1")
        assert send(there.url("hook.example") + "?key=a%20b", resolve=names) == Outcome(status=204)
        message = there.next()
    assert (message.path, message.body) == ("/hook?key=a%20b", b'{"a":1}')
    assert message.headers["host"] == f"hook.example:{there.port}"
    assert (message.headers["webhook-id"], message.headers["content-type"]) == ("dlv_1", "application/json")
    assert names.asked == ["hook.example"]


def test_a_private_address_is_never_connected_to():
    with receiver() as there:
        assert send(there.url(), policy=AddressPolicy()) == Outcome(error=NOWHERE)
        assert send(there.url("localhost"), policy=AddressPolicy()) == Outcome(error=NOWHERE)
        assert send(there.url("[::ffff:127.0.0.1]")) == Outcome(error=NOWHERE)
        assert send(there.url("hook.example"), resolve=Names("::ffff:127.0.0.1")) == Outcome(error=NOWHERE)
        assert there.messages.empty()


def test_a_name_that_nobody_knows_and_a_private_one_are_told_in_the_same_words():
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("unknown")

    assert send("http://nowhere.example/", resolve=unknown) == send("http://db.example/", resolve=Names("10.0.0.5"))


def test_a_label_that_is_too_long_for_a_name_is_nowhere():
    assert send(f"http://{'a' * 64}.example/") == Outcome(error=NOWHERE)


class Recording(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self.connected: list[str] = []

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        self.connected.append(host)
        raise httpcore.ConnectError("refused")


@pytest.mark.parametrize(
    ("answers", "connected"),
    [
        (["8.8.8.8", "127.0.0.1"], ["8.8.8.8"]),  # another answer the second time: there is no second time
        ([["127.0.0.1", "8.8.8.8", "fe80::1%2", "8.8.8.8", "1.1.1.1"]], ["8.8.8.8", "1.1.1.1"]),
    ],
)
def test_what_was_checked_is_what_is_connected_to(answers, connected):
    names, network = Names(*answers), Recording()
    backend = CheckedBackend(AddressPolicy(), names, network)
    with pytest.raises(httpcore.ConnectError):
        asyncio.run(backend.connect_tcp("rebind.example", 80))
    assert (network.connected, names.asked) == (connected, ["rebind.example"])


def test_no_other_way_leads_out():
    with pytest.raises(NowhereToSend):
        asyncio.run(CheckedBackend(LOOPBACK, Names("127.0.0.1")).connect_unix_socket("/run/docker.sock"))


def test_a_second_address_is_tried_when_the_first_is_dead():
    with receiver(host="127.0.0.2") as there:
        assert send(there.url("hook.example"), resolve=Names(["127.0.0.3", "127.0.0.2"])) == Outcome(status=204)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(code):
    with receiver() as inside, receiver(status(code, Location=inside.url())) as there:
        assert send(there.url()) == Outcome(status=code)
        assert inside.messages.empty()
    with receiver(status(code, Location="http://169.254.169.254/latest/meta-data/")) as there:
        assert send(there.url()) == Outcome(status=code)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    with receiver() as proxy, receiver() as there:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert send(there.url()) == Outcome(status=204)
        assert proxy.messages.empty()


def keep_writing(first: bytes, more: bytes, pause_s: float = 0.0):
    """An answer without an end; `ended` once the other side has hung up."""
    ended = threading.Event()

    def answer(request: Receiving) -> None:
        try:
            request.wfile.write(first)
            while True:
                request.wfile.write(more)
                time.sleep(pause_s)
        except OSError:
            ended.set()

    return answer, ended


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),  # headers that never end, quick or slow
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
        (b"", b"H"),
        (b"", b"\0"),
    ],
)
def test_an_endless_head_is_no_answer_and_ends_in_time(first, more, pause_s):
    answer, ended = keep_writing(first, more, pause_s)
    with receiver(answer) as there:
        outcome = send(there.url(), timeout_s=0.5)
        assert ended.wait(30)
    assert outcome.status is None
    assert outcome.error


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_an_endless_body_is_cut_and_its_status_counts(pause_s):
    answer, ended = keep_writing(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000, pause_s)
    with receiver(answer) as there:
        assert send(there.url(), timeout_s=1.0) == Outcome(status=200)
        assert ended.wait(30)


def test_who_accepts_and_says_nothing_is_given_up():
    def never(request: Receiving) -> None:
        request.rfile.read(1)

    with receiver(never) as there:
        assert send(there.url(), timeout_s=0.3) == Outcome(error="no answer within 0.3 s")


def test_nobody_there_is_told_as_that():
    with receiver() as there:
        gone = there.url()
    assert send(gone) == Outcome(error="nobody accepts connections there")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_the_certificate_is_the_names_though_the_connection_goes_to_a_number(authority, trusting):
    with receiver(tls=server_context(authority, "hook.example")) as there:
        url = there.url("hook.example", "https")
        assert send(url, resolve=Names("127.0.0.1"), tls=trusting) == Outcome(status=204)
        refused = send(there.url("other.example", "https"), resolve=Names("127.0.0.1"), tls=trusting)
        untrusted = send(url, resolve=Names("127.0.0.1"))
    assert refused == untrusted == Outcome(error="no secure connection: its certificate or its TLS is not accepted")
