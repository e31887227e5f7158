"""Reads a large target document inside limits and writes it anew: `python -m app.targets.reading_process`.

Arguments: the limits, the document, output. Prints one JSON line for `app.targets.reading`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from adapt.child_process import answer, limit_this_process
from adapt.errors import TableRefused
from adapt.latency.table import table_from_document
from app.json_body import BodyMalformed, InvalidFields, parse_json
from app.targets.schemas import NewTableTarget, read_new_target


def main(arguments: list[str]) -> None:
    """Unexpected exceptions leave with a traceback on stderr and exit code 1."""
    document, output = limit_this_process(arguments)
    answer(_outcome(Path(document), Path(output)))


def _outcome(document: Path, output: Path) -> dict[str, object]:
    try:
        output.write_text(json.dumps(_read(parse_json(document.read_bytes()))))
    except MemoryError:
        return {"kind": "memory"}
    except BodyMalformed as error:
        return {"kind": "malformed", "arguments": list(error.args)}
    except InvalidFields as error:
        return {"kind": "fields", "arguments": list(error.args)}
    except TableRefused as error:
        return {"kind": "table", "arguments": list(error.args)}
    return {"kind": "read"}


def _read(document: Any) -> dict[str, Any]:
    """The same target without anything that is not one's: no larger than its entries make it."""
    new = read_new_target(document)
    if isinstance(new, NewTableTarget) and new.table is not None:
        new = new.model_copy(update={"table": table_from_document(new.table).to_document()})
    return new.model_dump(by_alias=True, exclude_unset=True)


if __name__ == "__main__":
    main(sys.argv[1:])
