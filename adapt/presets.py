"""Presets: named starting points for a job's settings; whatever a job sets itself overrides them."""

from collections.abc import Mapping

from adapt.spec import RESOURCES, Resource, Settings, Step


def _for_every_resource(step: Step) -> Mapping[Resource, Step]:
    return dict.fromkeys(RESOURCES, step)


PRESETS: Mapping[str, Settings] = {
    # NetAdapt (Yang et al., 2018), section 4: first step 2.5-5 %, decayed by 0.96-0.98, highest accuracy.
    "netadapt": Settings(preset="netadapt"),
    # MobileNetV3 (Howard et al., 2019), section 4.2: 1 % of the original each time, best dAcc / |dLatency|.
    "mobilenetv3": Settings(
        preset="mobilenetv3",
        pick="best-slope",
        schedule=_for_every_resource(Step(initial=0.01, decay=1.0, floor=0.005)),
        largest_share=0.5,
    ),
    # Minutes instead of hours, for trying things out.
    "quick": Settings(
        preset="quick",
        schedule=_for_every_resource(Step(initial=0.1, decay=0.96, floor=0.005)),
        largest_share=0.5,
        short_term_steps=20,
        long_term_epochs=5,
        batch_size=64,
    ),
}
