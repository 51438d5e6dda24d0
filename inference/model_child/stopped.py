"""Whether somebody stopped a process, so that it lives and never answers."""

from pathlib import Path

_STOPPED = ("T", "t")  # by a signal, and by a debugger (proc_pid_stat(5))


def is_stopped(process: int) -> bool:
    """Whether it waits to be continued; one that is gone does not."""
    try:
        content = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:
        return False
    return content.rpartition(")")[2].lstrip().startswith(_STOPPED)
