"""Where a worker's log goes: standard error, a line an event, with time, process and place."""

import logging
import sys


def set_up_logging() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of its plugins at every start
