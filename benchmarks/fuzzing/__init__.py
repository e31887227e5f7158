"""A mutation fuzzer for the readers of strangers' files: seeds, mutators by format, and the child that reads."""
