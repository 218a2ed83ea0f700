"""`python -m honed`: the `honed` command for an environment whose scripts are not on the PATH."""

from honed.cli import main

if __name__ == "__main__":
    main()
