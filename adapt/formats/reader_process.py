"""Reads one upload inside limits and writes our own checkpoint file: `python -m adapt.formats.reader_process`.

Arguments: upload, output, address space in bytes, CPU seconds. Prints one JSON line for `adapt.formats.sandbox`.
"""

import json
import resource
import sys
from pathlib import Path

from adapt.checkpoint import read_network, write_safetensors
from adapt.errors import FormatRefused, NetworkRefused, UnsupportedOperator


def main(arguments: list[str]) -> None:
    """Unexpected exceptions leave with a traceback on stderr and exit code 1."""
    upload, output = Path(arguments[0]), Path(arguments[1])
    memory_bytes, cpu_s = int(arguments[2]), int(arguments[3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(json.dumps(_outcome(upload, output)))


def _outcome(upload: Path, output: Path) -> dict[str, object]:
    try:
        output.write_bytes(write_safetensors(read_network(upload)))
    except MemoryError:
        return {"kind": "memory"}
    except UnsupportedOperator as error:
        return {"kind": "operator", "arguments": list(error.args)}
    except FormatRefused as error:
        return {"kind": "format", "arguments": list(error.args)}
    except NetworkRefused as error:
        return {"kind": "network", "arguments": list(error.args)}
    return {"kind": "read"}


if __name__ == "__main__":
    main(sys.argv[1:])
