"""Limits that a process sets itself before it reads what may come from anywhere. Imports little, so that it is fast."""

import sys


def limit_self(memory_mb: int, cpu_s: int) -> None:
    """Let this process end where it takes more memory (address space, where the system counts it) or time."""
    if sys.platform == "win32":
        return  # it has no such limits: the clock of the program that started this one ends it
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 2**20, memory_mb * 2**20))


__all__ = ["limit_self"]
