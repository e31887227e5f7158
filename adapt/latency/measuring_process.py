"""The process of `local_device`: opens the runtime, says under which conditions, then takes readings until it is left.

Speaks JSON and files over a pipe; nothing is pickled.
"""

import json
import os
import signal
from multiprocessing.connection import Connection
from typing import Any

from adapt.errors import MeasurementFailed
from adapt.latency.bench import Bench
from adapt.latency.reading import Plan
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.opening import open_runtime
from adapt.parent import wake_at_parents_end


def main(descriptor: int, choice: str) -> None:
    """`descriptor` is this process's end of the pipe, `choice` a RuntimeChoice as JSON."""
    wake_at_parents_end()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    connection = Connection(descriptor)
    try:
        runtime = open_runtime(RuntimeChoice(**json.loads(choice)))
    except MeasurementFailed as error:
        _answer(connection, {"failed": [error.what, error.why]})
        return
    _answer(connection, {"conditions": runtime.conditions.to_json()})
    bench, reference = Bench(runtime), b""
    while (order := _next_order(connection)) is not None:
        if order["reference"]:
            reference = connection.recv_bytes()
        candidate = connection.recv_bytes()
        try:
            reading = bench.read(candidate, reference, Plan.from_document(order["plan"]))
            _answer(connection, reading.to_document())
        except MeasurementFailed as error:
            _answer(connection, {"failed": [error.what, error.why]})
    os._exit(0)  # no runtime's threads are waited for


def _next_order(connection: Connection) -> dict[str, Any] | None:
    try:
        order: dict[str, Any] = json.loads(connection.recv_bytes())
    except EOFError:
        return None
    return order


def _answer(connection: Connection, answer: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(answer).encode())
