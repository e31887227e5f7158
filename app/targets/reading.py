"""Target documents that are larger than other JSON bodies may be: parsed in a child process, as all that is large."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adapt.child_process import ChildEnded, ChildLimits, more_memory, run_in_child
from adapt.errors import TableRefused
from app.json_body import BodyMalformed, InvalidFields

_ERRORS = {"malformed": BodyMalformed, "fields": InvalidFields, "table": TableRefused}


def read_target_in_child(body: bytes, scratch: Path, limits: ChildLimits) -> Any:
    """The JSON document, checked as app.targets.schemas and adapt.latency.table check it. `scratch` is a folder.

    Raises BodyMalformed, InvalidFields, TableRefused; the last also for a limit that reading it ran into.
    """
    with TemporaryDirectory(prefix="table-", dir=scratch) as folder:
        document, output = Path(folder, "body.json"), Path(folder, "read.json")
        document.write_bytes(body)
        try:
            outcome = run_in_child("app.targets.reading_process", [str(document), str(output)], limits)
        except ChildEnded as error:
            raise TableRefused("", error.why) from error
        if outcome["kind"] in _ERRORS:
            raise _ERRORS[outcome["kind"]](*outcome["arguments"])
        if outcome["kind"] == "memory":
            raise TableRefused("", f"reading it takes {more_memory(limits)}")
        return json.loads(output.read_text())
