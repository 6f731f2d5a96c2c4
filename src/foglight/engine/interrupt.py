"""The first Ctrl-C asks; the second one insists."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def asked_to_stop(request: Callable[[], None]) -> Generator[None]:
    """Inside, the first Ctrl-C calls `request` and goes on; the second one is an ordinary KeyboardInterrupt.

    In a thread other than the main one, where Python has no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: object) -> None:
        signal.signal(signal.SIGINT, previous)
        request()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
