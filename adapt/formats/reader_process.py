"""Reads one upload inside limits and writes our own checkpoint file: `python -m adapt.formats.reader_process`.

Arguments: address space in bytes, CPU seconds, upload, output. Prints one JSON line for `adapt.formats.sandbox`.
"""

import json
import sys
from pathlib import Path

from adapt.checkpoint import read_network
from adapt.child_process import limit_this_process
from adapt.errors import FormatRefused, NetworkRefused, UnsupportedOperator
from adapt.formats.safetensors_file import write_safetensors_file


def main(arguments: list[str]) -> None:
    """Unexpected exceptions leave with a traceback on stderr and exit code 1."""
    upload, output = map(Path, limit_this_process(arguments))
    print(json.dumps(_outcome(upload, output)))


def _outcome(upload: Path, output: Path) -> dict[str, object]:
    try:
        write_safetensors_file(read_network(upload), output)
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
