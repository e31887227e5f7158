"""Under what a latency was taken: figures of different conditions are never mixed."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adapt.latency.fields import Fields
from adapt.latency.runtimes.choice import RuntimeChoice

CPU_INFO = Path("/proc/cpuinfo")

# Extensions that make a runtime choose other kernels, as the kernel spells them.
_EXTENSIONS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"),
    *("avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """`runtime` is one of adapt.latency.runtimes or one that a package adds, `provider` what runs its kernels, with
    `provider_options`. For processors `cpu` is their name and `instruction_set` reads like "x86_64 avx2 fma avx512f"; a
    GPU's name stands with its host's.
    """

    runtime: str
    runtime_version: str
    provider: str
    threads: int
    batch: int
    precision: str
    cpu: str
    instruction_set: str
    provider_options: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Options only where there are any."""
        document = asdict(self)
        return document if self.provider_options else {k: v for k, v in document.items() if k != "provider_options"}

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits; equal fingerprints, comparable figures."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]


def conditions_here(choice: RuntimeChoice, version: str, beside: Sequence[str] = ()) -> Conditions:
    """What `choice` asks for, on this machine, by a runtime of that version; `beside` names what else runs kernels."""
    cpu_info = read_cpu_info()
    return Conditions(
        runtime=choice.runtime,
        runtime_version=version,
        provider=choice.provider,
        provider_options=choice.provider_options,
        threads=choice.threads,
        batch=choice.batch,
        precision=choice.precision,
        cpu=", ".join([*beside, cpu_model(cpu_info)]),
        instruction_set=instruction_set(cpu_info),
    )


def conditions_from_document(document: object, where: str, fields: Fields) -> Conditions:
    """What `to_json` made. Raises the refusal of `fields`."""
    texts = ("runtime", "runtime_version", "provider", "precision", "cpu", "instruction_set")
    found = fields.an_object(document, where, (*texts, "threads", "batch"), ("provider_options",))
    return Conditions(
        **{name: fields.text(found[name], f"{where}.{name}") for name in texts},
        threads=fields.whole(found["threads"], f"{where}.threads"),
        batch=fields.whole(found["batch"], f"{where}.batch"),
        provider_options=fields.texts(found.get("provider_options", {}), f"{where}.provider_options"),
    )


def cpu_model(cpu_info: str) -> str:
    """The processor's name in a /proc/cpuinfo text, the platform's own word where it has none (Arm has none)."""
    fields = _first_processor(cpu_info)
    return fields.get("model name") or platform.processor() or platform.machine()


def instruction_set(cpu_info: str) -> str:
    """The machine's architecture and those extensions by which runtimes choose their kernels."""
    fields = _first_processor(cpu_info)
    present = set((fields.get("flags") or fields.get("Features") or "").split())
    return " ".join([platform.machine(), *(name for name in _EXTENSIONS if name in present)])


def read_cpu_info() -> str:
    """The text of /proc/cpuinfo; empty on systems that have none, where the platform's words must do."""
    return CPU_INFO.read_text(errors="replace") if CPU_INFO.exists() else ""


def _first_processor(cpu_info: str) -> Mapping[str, str]:
    block = cpu_info.strip().split("\n\n")[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
