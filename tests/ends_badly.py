"""A reading child whose libraries abort when the interpreter takes leave."""

import atexit
import os
import sys

from adapt.child_process import answer, limit_this_process

if __name__ == "__main__":
    atexit.register(os.abort)
    answer({"read": limit_this_process(sys.argv[1:])})
