"""The service's settings: read once from the environment (NETADAPT_...), then handed on as one frozen value."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

GIB = 1024**3
Seconds = Annotated[float, Field(ge=0, le=7 * 86_400)]


def _a_host(text: str) -> str:
    """What is spelt otherwise would be accepted, and never be the one that a request names."""
    try:
        return str(ip_address(text))
    except ValueError:
        if re.fullmatch(r"[a-z0-9_.-]+", text):
            return text
    raise ValueError(f"{text!r} is no name alone, such as netadapt.example.org, without scheme, port or path")


def _a_cluster(text: str) -> str:
    if text in ("", "auto") or re.fullmatch(r"[A-Za-z0-9_.-]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", text):
        return text
    raise ValueError(
        f"{text!r} is not the host:port of a cluster's head, nor auto; for ray:// run `ray start --address=host:port "
        "--num-cpus=0` on this machine instead, and name host:port"
    )


Host = Annotated[str, AfterValidator(_a_host)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(ip_network)]


class Settings(BaseSettings):
    """Everything has a default: a service on this machine alone needs no setting at all."""

    model_config = SettingsConfigDict(env_prefix="NETADAPT_", env_ignore_empty=True, frozen=True, extra="ignore")

    data_dir: Path = Path("netadapt-data")
    database_url: str = ""  # empty: an SQLite file in the data folder
    storage_url: str = ""  # empty: a folder in the data folder; else anything that fsspec knows
    allowed_hosts: Annotated[tuple[Host, ...], NoDecode] = ()  # names we are reached by, beside the loopback ones
    lease_s: float = Field(default=30.0, ge=1, le=3600)
    max_open_jobs: int = Field(default=1000, ge=0)  # of one owner: queued, running or paused; 0: as many as they like
    max_running_jobs: int = Field(default=0, ge=0)  # of one owner, the others wait in the queue; 0: as many
    device_patience_s: float = Field(default=30.0, ge=0, le=3600)  # how long a worker waits for a device that is away
    ray_address: Annotated[str, AfterValidator(_a_cluster)] = ""  # of the executor ray; empty: one on this machine
    ray_patience_s: float = Field(default=300.0, ge=0, le=86_400)  # how long a worker waits for it when it is away
    max_upload_bytes: int = Field(default=2 * GIB, ge=1024)
    max_network_bytes: int = Field(default=16 * GIB, ge=1024**2)  # weights and all activations of one image
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)  # of a JSON request
    # What parsing one upload may take, in a child process of its own:
    max_read_memory_bytes: int = Field(default=2 * GIB, ge=GIB // 2)  # beside four times a network's file
    max_read_s: float = Field(default=120.0, ge=1, le=3600)  # half of it CPU time; of a data set five times that
    max_unpacked_bytes: int = Field(default=8 * GIB, ge=1024**2)  # of a data set, and of the pixels kept of it
    max_archive_entries: int = Field(default=500_000, ge=1)  # and rows of a .parquet file
    max_expansion: int = Field(default=200, ge=2)  # times its size that a packed tar may unpack to, beyond 64 MiB
    max_reads_at_once: int = Field(default=2, ge=1, le=64)  # uploads that one API process parses at a time
    session_hours: float = Field(default=12.0, gt=0, le=24 * 30)
    # Who may do how much; docs/operating.md tells what each is for. 0 is no limit.
    requests_per_s: int = Field(default=500, ge=0)  # of one credential, or one address without
    requests_burst: int = Field(default=5000, ge=1)
    failed_sign_ins_per_minute: int = Field(default=30, ge=0)  # of one address; twice as many at once
    max_streams_per_owner: int = Field(default=200, ge=0)  # event streams, and agents that wait for work
    max_models_per_owner: int = Field(default=10_000, ge=0)
    max_datasets_per_owner: int = Field(default=10_000, ge=0)
    max_targets_per_owner: int = Field(default=1000, ge=0)
    max_stored_bytes_per_owner: int = Field(default=0, ge=0)
    max_job_s: int = Field(default=0, ge=0)  # that a job may run, pauses left out
    # The connection itself.
    behind_tls: bool = False  # browsers reach us by https alone, through a proxy
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()  # whose X-Forwarded-For is believed
    max_connections: int = Field(default=1000, ge=10)
    head_timeout_s: float = Field(default=10.0, gt=0, le=3600)  # for a request's line and headers
    body_timeout_s: float = Field(default=30.0, gt=0, le=3600)  # that a body may be waited for, and more as it comes
    answer_timeout_s: float = Field(default=60.0, gt=0, le=3600)  # that a client may leave an answer unread

    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics_for: Literal["everybody", "admin"] = "everybody"  # whose /metrics are
    max_webhooks: int = Field(default=20, ge=0, le=1000)  # of one owner
    webhook_allowed_networks: Annotated[tuple[Network, ...], NoDecode] = ()  # beside public ones
    webhook_timeout_s: float = Field(default=15.0, gt=0, le=60)  # of one attempt, from the look-up of the name on
    webhook_retry_s: Annotated[tuple[Seconds, ...], NoDecode] = (5, 30, 120, 600, 3_600, 14_400, 43_200)
    webhook_kept_days: float = Field(default=30.0, ge=1, le=3650)  # messages, unless they still wait

    @property
    def silent_s(self) -> float:
        """How long a process of ours that shows each second that it lives may be silent before it is killed: its lease
        has run out by then."""
        return max(self.lease_s, 10.0)

    keep_jobs_days: float | None = Field(default=None, gt=0)  # jobs that are over, with all that they found
    keep_unused_days: float | None = Field(default=None, gt=0)  # models and data sets that no job uses

    @property
    def scratch_dir(self) -> Path:
        """For files that live no longer than the process that writes them."""
        return self.data_dir.absolute() / "scratch"

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        """By comma; "none" is the empty list, since an empty value is no setting."""
        for name in ("allowed_hosts", "trusted_proxies", "webhook_allowed_networks", "webhook_retry_s"):
            if isinstance(given := values.get(name), str):
                listed = [each.strip().lower() for each in given.split(",") if each.strip()]
                values[name] = () if listed == ["none"] else tuple(listed)
        return values

    @model_validator(mode="after")
    def _fill_in_urls(self) -> "Settings":
        folder = self.data_dir.absolute()
        # The model is frozen for everybody else; these two defaults depend on a third value.
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{folder / 'netadapt.db'}")
        if not self.storage_url:
            object.__setattr__(self, "storage_url", str(folder / "files"))
        return self
