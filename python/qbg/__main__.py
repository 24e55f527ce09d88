"""`python -m qbg`: the same as the command `qbg`."""

from qbg.cli import main

if __name__ == "__main__":
    main()
