"""Reads one upload inside limits and writes our own checkpoint file: `python -m adapt.formats.reader_process`.

Arguments: address space in bytes, CPU seconds, upload, output, and where the upload is the weights of a zoo
architecture that one's name. Prints one JSON line for `adapt.formats.sandbox`.
"""

import json
import sys
from pathlib import Path

from adapt.checkpoint import read_network
from adapt.child_process import limit_this_process
from adapt.errors import FormatRefused, NetworkRefused, UnsupportedOperator
from adapt.formats.safetensors_file import write_safetensors_file
from adapt.zoo.published import read_published


def main(arguments: list[str]) -> None:
    """Unexpected exceptions leave with a traceback on stderr and exit code 1."""
    upload, output, *architecture = limit_this_process(arguments)
    print(json.dumps(_outcome(Path(upload), Path(output), *architecture)))


def _outcome(upload: Path, output: Path, architecture: str | None = None) -> dict[str, object]:
    try:
        network = read_network(upload) if architecture is None else read_published(upload, architecture)
        write_safetensors_file(network, output)
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
