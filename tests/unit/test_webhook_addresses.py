"""Where webhooks may be sent to."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.addresses import MAX_URL, AddressPolicy, UrlRefused

PUBLIC = ["8.8.8.8", "1.1.1.1", "198.51.99.1", "2606:4700:4700::1111", "2a00:1450:4001::200e"]
NOT_PUBLIC = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:0:53aa:64c::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
LOOPBACK = AddressPolicy([ip_network("127.0.0.0/8")])


@pytest.mark.parametrize("address", PUBLIC)
def test_strangers_on_the_internet_are_reached(address):
    assert AddressPolicy().permits(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_whatever_is_nearer_than_the_internet_is_not(address):
    assert not AddressPolicy().permits(ip_address(address))


def test_an_operator_allows_what_he_names_and_no_other_spelling_of_it():
    assert LOOPBACK.permits(ip_address("127.0.0.1"))
    for address in ("::ffff:127.0.0.1", "::1", "10.0.0.1", "64:ff9b::7f00:1"):
        assert not LOOPBACK.permits(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost/",
        "http://LOCALHOST.:80/",
        "http://a.localhost/",
        "http://169.254.169.254/latest/meta-data",
        "https://10.0.0.1:8443/x",
        "https://[fd00::1]/",
    ],
)
def test_a_private_address_is_refused_in_every_spelling(url):
    with pytest.raises(UrlRefused, match="NETADAPT_WEBHOOK_ALLOWED_NETWORKS"):
        AddressPolicy().check_url(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/", "begin with https"),
        ("file:///etc/passwd", "begin with https"),
        ("javascript:alert(1)", "begin with https"),
        ("gopher://example.org", "begin with https"),
        ("//example.org/hook", "begin with https"),
        ("example.org/hook", "begin with https"),
        ("https://", "name a host"),
        ("https:///hook", "name a host"),
        ("https://ann:secret@example.org/", "user name"),
        ("https://ann@example.org/", "user name"),
        ("https://example.org/#there", "fragment"),
        ("https://example.org/#", "fragment"),
        ("https://example.org:0/", "names port 0"),
        ("https://example.org:99999/", "names port 99999"),
        ("https://exa mple.org/", "names a host"),
        ("https://exa%20mple.org/", "names a host"),
        ("https://example.org%2f@10.0.0.1/", "user name"),
        ("http://[fe80::1%25eth0]/", "names a host|not an address"),
        ("https://example.org/\n", "not an address"),
        ("https://example.org/\x00", "not an address"),
        ("https://\ud800.example/", "not an address"),
        (f"https://example.org/{'x' * MAX_URL}", "characters"),
        ("https://[::1/", "not an address"),
        ("https://xn--a.example/", "not an address"),
        ("https://xn--/", "not an address"),
        ("http://0177.0.0.1/", "not an address"),
    ],
)
def test_what_is_no_address_of_a_receiver_is_refused_with_the_reason(url, why):
    with pytest.raises(UrlRefused, match=why):
        AddressPolicy().check_url(url)


def test_a_public_address_is_kept_in_one_spelling():
    policy = AddressPolicy()
    assert policy.check_url("HTTPS://Example.ORG:443/Hook?a=b%20c") == "https://example.org/Hook?a=b%20c"
    assert policy.check_url("https://example.org/a?to=x@y") == "https://example.org/a?to=x@y"
    assert policy.check_url("https://münchen.example/x") == "https://xn--mnchen-3ya.example/x"
    assert LOOPBACK.check_url("http://localhost:8000/x") == "http://localhost:8000/x"


@given(
    st.text(max_size=40)
    | st.builds(
        "http{}://{}{}/{}".format, st.sampled_from(["", "s"]), st.text(max_size=20), st.text(max_size=8), st.text()
    )
    | st.builds("https://{}:{}/".format, st.ip_addresses(), st.integers())
)
def test_whatever_somebody_sends_is_refused_or_kept_as_what_is_read_again_the_same(url):
    try:
        kept = AddressPolicy().check_url(url)
    except UrlRefused:
        return
    assert AddressPolicy().check_url(kept) == kept
    assert kept.isascii()
    assert kept.isprintable()
