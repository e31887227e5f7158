"""`netadapt`, and `python -m app.cli` where that script is not on the path."""

from app.ctrl_c import keep_ctrl_c_back


def main() -> None:
    """The entry point."""
    keep_ctrl_c_back()
    from app.cli.main import run

    run()


if __name__ == "__main__":
    main()
