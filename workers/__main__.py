"""`python -m workers`: one worker host, a process per lane. `--lane` runs one lane in this process."""

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING, cast

from app.heartbeat import beat_for_parent

if TYPE_CHECKING:
    from app.records import TaskLane
    from app.settings import Settings


def main() -> int:
    beat_for_parent()  # whoever listens must not take the imports below, torch among them, for a sleep
    from app.logs import set_up_logging
    from app.settings import Settings
    from workers.host import LANES, run_host

    parser = argparse.ArgumentParser(prog="netadapt worker", description=__doc__)
    parser.add_argument("--lane", choices=LANES, help="serve this lane only, in this process")
    arguments = parser.parse_args()
    settings = Settings()
    set_up_logging(settings.log_format, settings.log_level)
    if arguments.lane is None:
        return run_host(settings)
    return _serve(arguments.lane, settings)


def _serve(lane: str, settings: "Settings") -> int:
    # Imported here: host and webhooks do without torch, which takes a second and a quarter of a gigabyte.
    if lane == "webhooks":
        from workers.webhooks import run_webhooks

        return run_webhooks(settings)
    from workers.lane import run_lane

    run_lane(cast("TaskLane", lane), settings)  # one of LANES, argparse saw to that
    logging.shutdown()
    os._exit(0)  # everything is closed, and taking torch apart takes seconds on a busy machine


if __name__ == "__main__":
    sys.exit(main())
