"""How many processors so many jobs a day keep busy, and how many machines that is: a model, not a measurement.

`make bench NAME=cost` prints an example and writes docs/results/cost.md; `python -m benchmarks.cost --help` names the
inputs. The seconds of a job on one processor are those that a feasibility check tells beforehand
(app/feasibility/duration.py), of a machine that trains one candidate at a time; how fast the network trains is measured
here, unless --ms-per-image gives it. With

    processor_s = seconds of a job on one processor
    needed      = jobs_per_day x processor_s / (86,400 x efficiency x use)
    machines    = needed / cores_per_machine, rounded up

`efficiency` is the share of a processor's time that several at once leave each other (docs/results/scaling.md and
docs/results/scaling_ray.md have what was measured), `use` the share of the day that the machines are to be busy: a
queue that is never empty is one that grows.
"""

import argparse
import json
import math
import os
from typing import Any

from adapt.groups import channel_groups
from adapt.presets import effective_settings
from adapt.spec import TrainingSpeed
from adapt.stop import never
from adapt.training.speed import measure_training_speed
from app.feasibility.duration import estimate_seconds, image_counts
from benchmarks.results import write_page
from benchmarks.searches import zoo_network

DAY_S = 86_400


def main() -> int:
    asked = arguments().parse_args()
    line = cost(asked)
    write_page("cost", __doc__ or "", [line["figures"]], line)
    print(json.dumps(line))
    return 0


def cost(asked: argparse.Namespace) -> dict[str, Any]:
    network = zoo_network(asked.architecture)
    pace = asked.ms_per_image or measure_training_speed(network, None, never).ms_per_image
    proposals = sum(group.prunable for group in channel_groups(network))
    settings = effective_settings({"preset": asked.preset, "search": asked.search, "executor": "serial"})
    counts = image_counts({"train": asked.images, "test": asked.images // 5}, settings)
    assert counts is not None, "how many images there are was said"
    processor_s = estimate_seconds(
        settings,
        counts,
        TrainingSpeed(ms_per_image=pace, processes=1),
        iterations=asked.iterations,
        proposals=proposals,
        left=asked.left,
        measures=True,
        pretrains=False,
    )
    needed = asked.jobs * processor_s / (DAY_S * asked.efficiency * asked.use)
    machines = math.ceil(needed / asked.cores)
    return {
        "bench": "cost",
        "figures": {
            "jobs_per_day": asked.jobs,
            "processor_s_per_job": round(processor_s),
            "processors_needed": round(needed, 1),
            "machines": machines,
            "hours_of_a_job_on_one_machine": round(processor_s / (3600 * asked.cores * asked.efficiency), 2),
            "price_per_job": None if asked.price is None else round(24 * asked.price * machines / asked.jobs, 4),
        },
        "conditions": {
            **{name: value for name, value in vars(asked).items() if name not in ("jobs", "ms_per_image")},
            "ms_per_image": round(pace, 3),
            "measured_here": asked.ms_per_image is None,
            "proposals": proposals,
            "training_images": counts.train,
            "cpu_cores_here": len(os.sched_getaffinity(0)),
        },
    }


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000, help="a day")
    parser.add_argument("--architecture", default="mobilenet_v1_0.50_32", help="of the zoo, for ten classes")
    parser.add_argument("--images", type=int, default=10_000, help="of the data set, to train on")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--search", default="racing", choices=("exact", "racing"))
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--left", type=float, default=0.5, help="share of its mult-adds that a network ends with")
    parser.add_argument("--ms-per-image", type=float, help="of a training step on one thread; else measured")
    parser.add_argument("--efficiency", type=float, default=0.85)
    parser.add_argument("--use", type=float, default=0.7)
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--price", type=float, help="of a machine, an hour")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
