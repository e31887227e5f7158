"""What an operator spelt wrong is said in one line, by the name of the setting, before anything starts."""

import pytest
import typer

from app.cli.failures import failures_as_one_line
from app.database import make_engine
from app.settings import Settings


def line_about(capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that starts with these settings."""
    with pytest.raises(typer.Exit) as ended, failures_as_one_line():
        make_engine(Settings().database_url)
    said = capsys.readouterr().err
    assert (ended.value.exit_code, said.count("\n")) == (1, 1)
    return said


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALLOWED_HOSTS", "https://netadapt.example", "no name alone"),
        ("ALLOWED_HOSTS", "netadapt.example:8443", "no name alone"),
        ("ALLOWED_HOSTS", "abc:80", "no name alone"),
        ("ALLOWED_HOSTS", "*.example", "no name alone"),
        ("TRUSTED_PROXIES", "nginx", "'nginx' does not appear to be"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("LEASE_S", "0", "greater than or equal to 1"),
        ("DATABASE_URL", "netadapt.db", "no URL of a database"),
        ("DATABASE_URL", "postgresql://ann:secret@host:port/name", "no URL of a database"),
        ("DATABASE_URL", "mysql://ann:secret@host/name", "mysql is none of"),
        ("DATABASE_URL", "postgresql+asyncpg://ann:secret@host/name", "postgresql+asyncpg is none of"),
        ("DATABASE_URL", "sqlite://", "in memory"),
        ("DATABASE_URL", "sqlite:///:memory:", "in memory"),
    ],
)
def test_a_setting_that_cannot_work_is_named_with_the_reason(monkeypatch, capsys, name, value, says):
    monkeypatch.setenv(f"NETADAPT_{name}", value)
    said = line_about(capsys)
    assert f"NETADAPT_{name}" in said
    assert says in said
    assert "secret" not in said


def test_lists_are_split_by_comma(monkeypatch):
    monkeypatch.setenv("NETADAPT_ALLOWED_HOSTS", "NetAdapt.example, api,::1")
    monkeypatch.setenv("NETADAPT_TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1")
    settings = Settings()
    assert settings.allowed_hosts == ("netadapt.example", "api", "::1")
    assert list(map(str, settings.trusted_proxies)) == ["10.0.0.0/8", "127.0.0.1/32"]
