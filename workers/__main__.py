"""`python -m workers`: one worker host, a process per lane. `--lane` runs one lane in this process."""

import argparse
import sys

from app.settings import Settings
from workers.host import run_host
from workers.lane import run_lane
from workers.log import set_up_logging


def main() -> int:
    parser = argparse.ArgumentParser(prog="netadapt worker", description=__doc__)
    parser.add_argument("--lane", choices=["short", "long"], help="serve this lane only, in this process")
    parser.add_argument(
        "--end-with-parent", action="store_true", help="end when the process that started this one is gone"
    )
    arguments = parser.parse_args()
    settings = Settings()
    set_up_logging()
    if arguments.lane is None:
        return run_host(settings, end_with_parent=arguments.end_with_parent)
    return run_lane(arguments.lane, settings)


if __name__ == "__main__":
    sys.exit(main())
