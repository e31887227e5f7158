"""Devices that measure for the service: its side of them, and the program that runs on the device (program, calls)."""
