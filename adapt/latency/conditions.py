"""Under what a latency was taken: figures of different conditions are never mixed."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")

# Extensions that make a runtime choose other kernels, as the kernel spells them.
_EXTENSIONS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"),
    *("avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """All fields are text or whole numbers; `instruction_set` reads like "x86_64 avx2 fma avx512f"."""

    runtime: str
    runtime_version: str
    provider: str
    threads: int
    batch: int
    precision: str
    cpu: str
    instruction_set: str

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits; equal fingerprints, comparable figures."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]


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
