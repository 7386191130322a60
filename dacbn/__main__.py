"""The command `dacbn`, also `python -m dacbn`; quiet when Ctrl-C ends it while it is imported."""

import os
import signal


def main() -> None:
    """Import the command line, which takes seconds, and run it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it may be ignored
        signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    if "RANK" in os.environ:  # torch advises each process against what some methods need
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from dacbn.cli import main as run

    run()


if __name__ == "__main__":
    main()
