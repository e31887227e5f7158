"""The pages for operators and receivers name what there is, and what they show works."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.cli.webhooks import app as command_line
from app.settings import Settings
from app.webhooks.schemas import ALL_EVENTS
from app.webhooks.signing import new_secret, signed_headers
from tests.served_app import served_app

DOCS = Path(__file__).resolve().parents[2] / "docs"
OPERATING = (DOCS / "operating.md").read_text()
WEBHOOKS = (DOCS / "webhooks.md").read_text()
OURS = ("log_", "metrics_", "max_webhooks", "webhook_")
TOLD = dict(re.findall(r"^\| `NETADAPT_(\w+)` \| (`[^`]*`|none) \|", OPERATING, flags=re.MULTILINE))


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.startswith(OURS)])
def test_every_setting_is_there_with_its_default(name: str) -> None:
    default = Settings.model_fields[name].default
    told = TOLD[name.upper()].strip("`")
    if isinstance(default, tuple):
        assert told == (",".join(f"{each:g}" for each in default) or "none")
    else:
        assert told == (f"{default:g}" if isinstance(default, float) else str(default))


def test_every_metric_is_there_and_no_other(tmp_path: Path) -> None:
    with served_app(Settings(data_dir=tmp_path)) as app, app.client() as client:
        client.get("/v1/info")
        families = list(text_string_to_metric_families(client.get("/metrics").text))
    found = {family.name for family in families if not family.name.endswith("_created")}
    ours = {name for name in found if not name.startswith("netadapt_process_")}
    told = {name.removesuffix("_total") for name in re.findall(r"`(netadapt_\w+)(?:\*)?`", OPERATING)}
    assert told - {"netadapt_process_"} == ours


def test_the_pages_name_every_event_and_command() -> None:
    assert all(f"`{event}`" in WEBHOOKS for event in ALL_EVENTS)
    for command in command_line.registered_commands:
        assert f"netadapt webhooks {command.name or command.callback.__name__}" in WEBHOOKS


def test_the_receiver_in_the_page_accepts_our_messages_and_no_others() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", WEBHOOKS, flags=re.DOTALL)
    shown: dict = {}
    exec(program, shown)
    secret, body, now = new_secret(), b'{"type":"job.failed"}', datetime.now(UTC)
    headers = signed_headers(secret, "dlv_1", now, body)
    assert shown["is_ours"](headers, body, secret)
    assert not shown["is_ours"](headers, body + b" ", secret)
    assert not shown["is_ours"](headers, body, new_secret())
    assert not shown["is_ours"](signed_headers(secret, "dlv_1", now - timedelta(minutes=6), body), body, secret)
    several = headers | {"webhook-signature": "v1,b2xk " + headers["webhook-signature"]}
    assert shown["is_ours"](several, body, secret)
