"""Reads one upload inside limits and writes our own checkpoint file: `python -m adapt.formats.reader_process`.

Arguments: the limits, upload, output, and where the upload is the weights of a zoo
architecture that one's name. Prints one JSON line for `adapt.formats.sandbox`.
"""

import gc
import sys
from pathlib import Path

from adapt.checkpoint import network_format, read_network
from adapt.child_process import answer, limit_this_process
from adapt.errors import FormatRefused, NetworkRefused, UnsupportedOperator
from adapt.formats.safetensors_file import carries_architecture, write_safetensors_file
from adapt.graph.network import Network
from adapt.zoo.published import read_published, refuse_unnamed


def main(arguments: list[str]) -> None:
    """Unexpected exceptions leave with a traceback on stderr and exit code 1."""
    gc.disable()  # it ends soon, and looks in vain for cycles in a large file's parsed JSON again and again
    upload, output, *architecture = limit_this_process(arguments)
    answer(_outcome(Path(upload), Path(output), *architecture))


def _outcome(upload: Path, output: Path, architecture: str | None = None) -> dict[str, object]:
    try:
        write_safetensors_file(_read(upload, architecture), output)
    except MemoryError:
        return {"kind": "memory"}
    except UnsupportedOperator as error:
        return {"kind": "operator", "arguments": list(error.args)}
    except FormatRefused as error:
        return {"kind": "format", "arguments": list(error.args)}
    except NetworkRefused as error:
        return {"kind": "network", "arguments": list(error.args)}
    return {"kind": "read"}


def _read(upload: Path, architecture: str | None) -> Network:
    if architecture is not None:
        return read_published(upload, architecture)
    if network_format(upload) == "safetensors" and not carries_architecture(upload):
        refuse_unnamed(upload)
    return read_network(upload)


if __name__ == "__main__":
    main(sys.argv[1:])
