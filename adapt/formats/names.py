"""What values, weights and layers may be called in a stranger's file: what torch itself can export and load again.

A module may have any name without a dot ("block1-0", "conv/1"); control characters, quotes, brackets, commas and
semicolons are refused, since torch splices or splits names with them.
"""

import re

_PART = r"[A-Za-z0-9_ +\-/:@#=]"

VALUE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,999}")
WEIGHT_NAME = re.compile(rf"{_PART}{{1,200}}(?:\.{_PART}{{1,200}}){{0,30}}")
LAYER_NAME = re.compile(rf"(?:{_PART}|\.){{0,200}}")
