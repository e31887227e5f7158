"""What goes wrong around jobs. Nothing here knows HTTP."""


class JobError(Exception):
    """Root of what goes wrong around jobs."""


class JobNotFound(JobError):
    """No such job, or somebody else's."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"there is no job {self.job_id}"


class PartNotFound(JobError):
    """The job is there, but not this iteration, checkpoint or file of it."""

    def __init__(self, job_id: str, part: str) -> None:
        super().__init__(job_id, part)
        self.job_id, self.part = job_id, part

    def __str__(self) -> str:
        return f"job {self.job_id} has no {self.part}"


class WrongState(JobError):
    def __init__(self, job_id: str, state: str, action: str, why: str = "") -> None:
        super().__init__(job_id, state, action, why)
        self.job_id, self.state, self.action, self.why = job_id, state, action, why

    def __str__(self) -> str:
        reason = f": {self.why}" if self.why else ""
        return f"job {self.job_id} is {self.state} and cannot be {self.action}{reason}"


class ReferenceNotFound(JobError):
    """A request names something that is not there (or is somebody else's); `pointer` says where."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(pointer, why)
        self.pointer, self.why = pointer, why

    def __str__(self) -> str:
        return self.why


class TooManyJobs(JobError):
    """The owner has as many jobs as one may have at a time."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"you have {self.limit} jobs that are not over, which is as many as this service lets one have: "
            "wait for one to end, or cancel one"
        )
