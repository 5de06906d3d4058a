"""The memory of this process."""

import resource
import sys


def peak_mb() -> float:
    """The most memory that this process has had so far, in MB of 2^20 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
