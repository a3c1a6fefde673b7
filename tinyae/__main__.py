"""``python -m tinyae`` is the command ``tinyae``: this is where both begin."""

import sys


def main() -> int:
    try:
        from .parallel.launch import share_cores

        share_cores()  # before NumPy starts its threads
        from .cli.main import main as run  # takes a quarter of a second, in which Ctrl-C may come
    except KeyboardInterrupt:
        print("tinyae: interrupted", file=sys.stderr)
        return 1
    return run()


if __name__ == "__main__":
    sys.exit(main())
