"""The service's settings: read once from the environment (NETADAPT_...), then handed on as one frozen value."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

GIB = 1024**3


class Settings(BaseSettings):
    """Everything has a default: a service on this machine alone needs no setting at all."""

    model_config = SettingsConfigDict(env_prefix="NETADAPT_", frozen=True, extra="ignore")

    data_dir: Path = Path("netadapt-data")
    database_url: str = ""  # empty: an SQLite file in the data folder
    storage_url: str = ""  # empty: a folder in the data folder; else anything that fsspec knows
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()  # names we are reached by, beside the loopback ones
    lease_s: float = Field(default=30.0, ge=1, le=3600)
    device_patience_s: float = Field(default=30.0, ge=0, le=3600)  # how long a worker waits for a device that is away
    max_upload_bytes: int = Field(default=2 * GIB, ge=1024)
    max_network_bytes: int = Field(default=16 * GIB, ge=1024**2)  # weights and all activations of one image
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)  # of a JSON request
    session_hours: float = Field(default=12.0, gt=0, le=24 * 30)

    @model_validator(mode="before")
    @classmethod
    def _split_hosts(cls, values: dict[str, object]) -> dict[str, object]:
        hosts = values.get("allowed_hosts")
        if isinstance(hosts, str):
            values["allowed_hosts"] = tuple(host.strip().lower() for host in hosts.split(",") if host.strip())
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
