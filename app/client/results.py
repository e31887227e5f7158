"""What the service answers, as types: dictionaries with these keys, and with those that a newer service adds.

Times are UTC as RFC 3339, accuracies fractions 0-1, None what is not known (yet). Words that a newer service may have
more of (`state`, `kind`) are plain texts. A test holds each class to the API's own description.
"""

from typing import Any, TypedDict


class Latency(TypedDict):
    """Milliseconds. A prediction never stands under `measured`; null is unknown."""

    predicted: float | None
    measured: float | None
    low: float | None
    high: float | None


class Figures(TypedDict):
    latency_ms: Latency
    macs: int | None
    params: int | None
    memory_bytes: int | None
    peak_memory_bytes: int | None
    accuracy: float | None
    holdout_accuracy: float | None
    checkpoint: str | None


class UniformFigures(Figures):
    """The uniformly thinned network that the result is compared with (setting `compare`)."""

    width: float
    steps: int


class Progress(TypedDict):
    fraction: float
    iteration: int
    proposals_done: int
    proposals_total: int
    eta_seconds: float | None


class Job(TypedDict):
    """`accuracy` of `current` is on the hold-out, of `original` and `result` on the test set. `error` is a problem."""

    id: str
    name: str | None
    state: str
    requested: str | None
    phase: str | None
    model: str
    dataset: str
    target: str
    budget: dict[str, float | str]
    limits: dict[str, float] | None
    settings: dict[str, Any]
    effective: dict[str, Any] | None
    continues: str | None
    from_iteration: int | None
    progress: Progress
    original: Figures | None
    current: Figures | None
    result: Figures | None
    uniform: UniformFigures | None
    error: dict[str, Any] | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    links: dict[str, str]


class Point(TypedDict):
    """One network on the curve. Figures are null until they are known."""

    kind: str
    job: str
    state: str
    iteration: int
    checkpoint: str | None
    latency_ms: Latency
    macs: int | None
    params: int | None
    memory_bytes: int | None
    holdout_accuracy: float | None
    test_accuracy: float | None


class Curve(TypedDict):
    """From the most to the least of `resource`; what has no figure yet comes last."""

    job: str
    resource: str
    data: list[Point]


class Iteration(TypedDict):
    iteration: int
    constraint: dict[str, float]
    control: dict[str, float] | None
    calibration: float | None
    before: dict[str, float]
    after: dict[str, float] | None
    holdout: dict[str, float] | None
    picked: list[str]
    started_at: str
    finished_at: str | None


class NextLarger(TypedDict):
    filters: int
    predicted: dict[str, float]


class JudgedAgain(TypedDict):
    accuracy: float
    standard_error: float
    loss: float
    images: int


class Proposal(TypedDict):
    id: str
    iteration: int
    group: str
    layers: list[str]
    kind: str
    filters_before: int
    filters_after: int | None
    state: str
    reason: str | None
    predicted: dict[str, float] | None
    next_larger: NextLarger | None
    kept: list[int] | None
    further: dict[str, list[int] | None]
    accuracy_before_finetune: float | None
    accuracy: float | None
    accuracy_standard_error: float | None
    holdout_images: int | None
    judged_again: JudgedAgain | None
    loss: float | None
    delta_accuracy: float | None
    delta_latency_ms: float | None
    slope: float | None
    picked: bool
    steps: int | None
    attempts: int | None
    seconds: float | None
    rung: int | None
    behind: float | None
    behind_standard_error: float | None


class CheckpointFile(TypedDict):
    format: str
    bytes: int
    sha256: str
    accuracy: float | None
    url: str


class Checkpoint(TypedDict):
    checkpoint: str
    kind: str
    iteration: int
    latency_ms: Latency
    macs: int | None
    params: int | None
    memory_bytes: int | None
    peak_memory_bytes: int | None
    accuracy: float | None
    holdout_accuracy: float | None
    filters: dict[str, int]
    files: list[CheckpointFile]
    created_at: str


class Event(TypedDict):
    """`data` is the resource concerned. `id` counts from 1 within the job; None for `progress`, which is not kept."""

    id: int | None
    event: str
    job: str
    at: str
    data: dict[str, Any]


class Feasibility(TypedDict):
    """Is the budget reachable? null: not known yet, ask again after `retry_after_seconds`."""

    feasible: bool | None
    basis: str | None
    original: dict[str, float | None]
    smallest: dict[str, float | None]
    budget: dict[str, float | None]
    iterations_estimate: int | None
    seconds_estimate: float | None
    reason: str | None
    retry_after_seconds: int | None
    latency: dict[str, Latency]


class Normalization(TypedDict):
    """On pixel / 255, one number per channel."""

    mean: list[float]
    std: list[float]


class Share(TypedDict):
    """Fractions of all mult-adds, and of the parameters in filters and linear layers (no biases, no batch norm)."""

    macs: float
    params: float


class Group(TypedDict):
    """Channels that shrink together; when `prunable` is false, `reason` says why in words."""

    id: str
    kind: str
    layers: list[str]
    channels: int
    filters_each: int | None
    prunable: bool
    reason: str | None


class Model(TypedDict):
    """`groups` is null until a worker has found them; `error` is a problem when `state` is refused. `by_kind` names
    layers by kind: conv1x1, depthwise, conv3x3 ..., grouped-conv3x3 ..., linear. Of `format` zoo is what a job made of
    a zoo name: an architecture, which each job trains on its own data set first.
    """

    id: str
    name: str
    state: str
    error: dict[str, Any] | None
    format: str
    architecture: str | None
    sha256: str | None
    bytes: int
    input_shape: list[int]
    normalization: Normalization
    classes: list[str] | None
    class_count: int
    params: int
    macs: int
    memory_bytes: int
    by_kind: dict[str, Share] | None
    groups: list[Group] | None
    created_at: str | None


class Dataset(TypedDict):
    """`image_shape` is [height, width, channels]; `counts` are images by class name and split; `sha256` is null for the
    built-in data set, which a library brings. `notes` tell what a person should know of the file.
    """

    id: str
    name: str
    state: str
    error: dict[str, Any] | None
    sha256: str | None
    bytes: int
    classes: list[str] | None
    counts: dict[str, dict[str, int]] | None
    image_shape: list[int] | None
    splits: dict[str, int | str] | None
    notes: list[str]
    created_at: str | None


class CommonSize(TypedDict):
    size: list[int]
    images: int


class Sizes(TypedDict):
    """[height, width] in pixels of the images as they were sent."""

    smallest: list[int]
    largest: list[int]
    distinct: int
    most_common: list[CommonSize]


class Unreadable(TypedDict):
    """Images that could not be decoded and were left out."""

    count: int
    first: list[str]


class Duplicates(TypedDict):
    """Images byte for byte like an earlier one; of the different ones among them, how many are in the test part and
    elsewhere too, and how many in more than one class.
    """

    count: int
    across_splits: int
    across_classes: int


class Thumbnails(TypedDict):
    """`links` are PNG files of at most 128 pixels a side; `rule` says which images they are."""

    count: int
    rule: str
    links: list[str]


class DatasetReport(TypedDict):
    """`image_shape` is [height, width, channels] as the images are kept; channel means and deviations are of pixel /
    255 over the training images. What is not known (yet) is null.
    """

    dataset: str
    state: str
    classes: list[str] | None
    counts: dict[str, dict[str, int]] | None
    splits: dict[str, int | str] | None
    image_shape: list[int] | None
    sizes: Sizes | None
    channel_mean: list[float] | None
    channel_std: list[float] | None
    unreadable: Unreadable | None
    duplicates: Duplicates | None
    notes: list[str]
    thumbnails: Thumbnails


class Target(TypedDict):
    """Where latency is measured. `fingerprint` are the conditions it measured under last; null before that."""

    id: str
    name: str
    kind: str
    runtime: str
    provider: str
    provider_options: dict[str, str]
    threads: int
    batch: int
    precision: str
    fingerprint: dict[str, Any] | None
    state: str
    error: dict[str, Any] | None
    last_seen_at: str | None
    created_at: str | None


class Webhook(TypedDict):
    """`disabled_at`: when the receiver said 410 Gone; nothing is sent any more."""

    id: str
    url: str
    events: list[str]
    disabled_at: str | None
    created_at: str | None


class NewWebhook(Webhook):
    """`secret` is what signatures are checked with; it is shown in this answer only."""

    secret: str


class Delivery(TypedDict):
    """A message: `id` is its webhook-id header. `next_attempt_at` is null once it is delivered or given up."""

    id: str
    event: str
    job: str
    state: str
    attempts: int
    next_attempt_at: str | None
    response_status: int | None
    error: str | None
    created_at: str | None
    delivered_at: str | None


class Paper(TypedDict):
    """As printed, in millions; null where the paper prints none. `note` says where our count differs, and why."""

    reference: str
    macs_millions: float | None
    params_millions: float | None
    note: str


class Architecture(TypedDict):
    """`macs` and `params` are counted, for 1000 classes and `input_shape` (C, H, W). `family` also takes other widths
    where `has_width`, squeeze-and-excitation behind every block where `takes_se`, and any resolution:
    `[se_]<family>[_<width>][_<resolution>]`.
    """

    name: str
    family: str
    has_width: bool
    takes_se: bool
    input_shape: list[int]
    macs: int
    params: int
    paper: Paper


class Info(TypedDict):
    """`limits` has 0 for none. `built` lists the values that this version has of each choice; `presets` the settings
    behind each name.
    """

    version: str
    sign_in_required: bool
    limits: dict[str, int]
    resources: list[str]
    presets: dict[str, dict[str, Any]]
    built: dict[str, list[Any]]
    formats: dict[str, list[str]]
