"""An S3-compatible server in this process, and the environment that makes the service use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fsspec
import fsspec.config
import httpx
import pytest


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """`url` as in NETADAPT_STORAGE_URL."""

    url: str
    endpoint: str
    server: Any

    def objects(self) -> set[str]:
        """The keys under the bucket."""
        return {path.removeprefix("netadapt/") for path in self._client().find("netadapt")}

    def remove(self, key: str) -> None:
        """As another process would."""
        self._client().rm_file(f"netadapt/{key}")

    def make_bucket(self) -> None:
        httpx.put(f"{self.endpoint}/netadapt").raise_for_status()

    def remove_bucket(self) -> None:
        client = self._client()
        for path in client.find("netadapt"):
            client.rm_file(path)
        client.rmdir("netadapt")

    def _client(self) -> Any:
        return fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """With one empty bucket. What is set in the environment is what an operator sets (docs/operating.md)."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        with pytest.MonkeyPatch.context() as patch, fsspec_settings(patch, endpoint):
            store = ObjectStore(url="s3://netadapt/kept", endpoint=endpoint, server=server)
            store.make_bucket()
            yield store
    finally:
        server.stop()


@contextmanager
def fsspec_settings(patch: pytest.MonkeyPatch, endpoint: str) -> Iterator[None]:
    """fsspec reads the environment when it is imported; here it has been imported long ago."""
    wanted = {
        "FSSPEC_S3_ENDPOINT_URL": endpoint,
        "FSSPEC_S3_KEY": "netadapt",
        "FSSPEC_S3_SECRET": "a secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in wanted.items():
        patch.setenv(name, value)
    before = dict(fsspec.config.conf)
    fsspec.config.set_conf_env(fsspec.config.conf)
    try:
        yield
    finally:
        fsspec.config.conf.clear()
        fsspec.config.conf.update(before)
