"""What parsing one upload may take: the settings, as limits of the child processes that parse."""

from dataclasses import dataclass

from adapt.child_process import ChildLimits
from adapt.data.decoding import DecodingLimits
from app.settings import Settings

MIB = 1024 * 1024
FOR_DATASETS = 5  # times as long as a network: they may unpack to gigabytes


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """The settings of these names; `memory_bytes` and `seconds` are max_read_memory_bytes and max_read_s."""

    memory_bytes: int
    seconds: float
    max_network_bytes: int
    max_unpacked_bytes: int
    max_archive_entries: int
    max_expansion: int

    @classmethod
    def of(cls, settings: Settings) -> "ReadLimits":
        return cls(
            memory_bytes=settings.max_read_memory_bytes,
            seconds=settings.max_read_s,
            max_network_bytes=settings.max_network_bytes,
            max_unpacked_bytes=settings.max_unpacked_bytes,
            max_archive_entries=settings.max_archive_entries,
            max_expansion=settings.max_expansion,
        )

    def of_network(self, file_bytes: int) -> ChildLimits:
        """The child holds the file, its tensors and the checkpoint that it writes."""
        memory_bytes = self.memory_bytes + 4 * file_bytes
        return ChildLimits(memory_bytes=memory_bytes, cpu_s=int(self.seconds / 2), wall_s=self.seconds)

    def of_document(self) -> ChildLimits:
        """Of a look-up table larger than other JSON bodies may be."""
        return ChildLimits(memory_bytes=self.memory_bytes, cpu_s=int(self.seconds / 2), wall_s=self.seconds)

    def of_arrays(self) -> ChildLimits:
        """Of an .npz file: large arrays are mapped from the scratch folder, and mappings count as address space."""
        seconds = FOR_DATASETS * self.seconds
        return ChildLimits(
            memory_bytes=self.memory_bytes + 512 * MIB + 3 * self.max_unpacked_bytes,
            private_bytes=self.memory_bytes,
            cpu_s=int(seconds / 2),
            wall_s=seconds,
        )

    def of_images(self, workers: int = 1) -> DecodingLimits:
        return DecodingLimits(
            max_bytes=self.max_unpacked_bytes,
            max_entries=self.max_archive_entries,
            max_expansion=self.max_expansion,
            private_bytes=self.memory_bytes,
            seconds=FOR_DATASETS * self.seconds,
            workers=workers,
        )
