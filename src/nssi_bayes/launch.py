"""How the process of a command starts and ends: environment, log, and a quick way out."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["INTERRUPTED", "fix_environment", "leave", "log_to_stderr", "terminal"]

INTERRUPTED: Final = 130
"""Exit code of a command that was interrupted: 128 and the number of the signal, as shells have it."""
_THREADS: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "MPLBACKEND": "Agg",
    # wheels of PyTensor bring no BLAS; no model here calls it
    "PYTHONWARNINGS": "ignore:PyTensor could not link to a BLAS installation",
}
"""One BLAS thread a chain: the order of a sum, and so its last digit, does not depend on the load.
What the user has set already stays."""


def leave(end: SystemExit) -> None:
    """End without taking apart what was imported, which takes half a second a command.

    What was interrupted is taken apart: its semaphores are still there, and Python would warn of them.
    """
    if end.code == INTERRUPTED or (end.code is not None and not isinstance(end.code, int)):
        raise end
    try:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads on: as the interpreter takes it
        raise end from None
    os._exit(end.code or 0)


def fix_environment() -> None:
    """Set threads, and start the interpreter again if its hash seed is not 0.

    Bambi orders parameters by sets, so the hash seed decides which draws a seed gives. It can only
    be set before the interpreter starts.
    """
    for name, value in _THREADS.items():
        os.environ.setdefault(name, value)
    wants_help = len(sys.argv) == 1 or "--help" in sys.argv
    if os.environ.get("PYTHONHASHSEED") != "0" and not wants_help:
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def log_to_stderr() -> None:
    """Send what the package says to stderr, with the time: in colour where somebody looks on."""
    handler: logging.Handler
    if sys.stderr.isatty() and "--help" not in sys.argv:
        from rich.console import Console
        from rich.logging import RichHandler

        handler = RichHandler(
            console=Console(stderr=True), show_path=False, show_level=False, log_time_format="[%X]"
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("nssi_bayes")
    logger.setLevel(logging.INFO)
    logger.handlers = [handler]
    logger.propagate = False


def terminal() -> Console | None:
    """Return the console that the log goes to, where somebody looks on at this process; else None."""
    for handler in logging.getLogger("nssi_bayes").handlers:
        console: Console | None = getattr(handler, "console", None)
        if console is not None:
            return console
    return None
