"""The public face: `from netadapt import Client, run, load` and the errors. Everything else may move."""
