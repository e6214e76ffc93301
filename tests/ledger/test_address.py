from __future__ import annotations

import pytest

from gateway.ledger.address import Address


@pytest.mark.parametrize(
    ("url", "shown", "greeting"),
    [
        ("redis://10.0.0.2", "10.0.0.2:6379", []),
        ("redis://10.0.0.2:7000/3", "10.0.0.2:7000", [("SELECT", "3")]),
        ("redis://:s3cret@host", "host:6379", [("AUTH", "s3cret")]),
        ("redis://me:p%40ss@host/0", "host:6379", [("AUTH", "me", "p@ss")]),
        ("unix:///run/v.sock?db=2", "/run/v.sock", [("SELECT", "2")]),
        ("unix://:s3cret@/run/a%20b.sock", "/run/a b.sock", [("AUTH", "s3cret")]),
        ("redis://[::1]:7000/3?db=4", "::1:7000", [("SELECT", "4")]),
    ],
)
def test_a_url_says_where_and_how_to_greet(url: str, shown: str, greeting: list[tuple[str, ...]]) -> None:
    address = Address.of(url)

    assert str(address) == shown
    assert address.greeting() == greeting
    assert address.tls is None


def test_rediss_checks_the_servers_name_and_certificate() -> None:
    tls = Address.of("rediss://host:6380").tls

    assert tls is not None
    assert tls.check_hostname
    assert tls.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize("url", ["redis://host/main", "redis://host?db=-1", "redis://host:many"])
def test_what_can_not_be_read_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Address.of(url)


def test_a_password_is_never_shown() -> None:
    assert "s3cret" not in repr(Address.of("redis://:s3cret@host")) + str(Address.of("redis://:s3cret@host"))


def test_another_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="redis://"):
        Address.of("http://host")
