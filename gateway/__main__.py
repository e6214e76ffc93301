"""`python -m gateway` is `joulegate`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
