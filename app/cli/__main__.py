"""`python -m app.cli`: the command line where the `netadapt` script is not on the path."""

from app.cli.main import run

if __name__ == "__main__":
    run()
