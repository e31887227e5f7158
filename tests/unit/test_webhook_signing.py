"""Signatures, checked by the scheme's own library."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.webhooks.signing import new_secret, signed_headers

BODY = '{"type":"job.succeeded","data":{"name":"größer"}}'.encode()


def test_a_receiver_with_the_schemes_library_accepts_what_we_sign():
    secret = new_secret()
    headers = signed_headers(secret, "dlv_1", datetime.now(UTC), BODY)
    assert Webhook(secret).verify(BODY, headers)["type"] == "job.succeeded"


@pytest.mark.parametrize("changed", ["body", "id", "timestamp", "secret", "time"])
def test_it_refuses_whatever_was_changed(changed):
    secret, now = new_secret(), datetime.now(UTC)
    at = now - timedelta(minutes=10) if changed == "time" else now
    headers = signed_headers(secret, "dlv_1", at, BODY)
    if changed == "id":
        headers["webhook-id"] = "dlv_2"
    if changed == "timestamp":
        headers["webhook-timestamp"] = str(int(now.timestamp()) + 1)
    receiver = Webhook(new_secret() if changed == "secret" else secret)
    with pytest.raises(WebhookVerificationError):
        receiver.verify(BODY + b" " if changed == "body" else BODY, headers)


def test_a_secret_is_long_enough_and_never_the_same():
    secrets = {new_secret() for _ in range(10)}
    assert len(secrets) == 10
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
