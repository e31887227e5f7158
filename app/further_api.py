"""`python -m app.further_api NUMBER`: an API process beside that of `netadapt serve`, on the socket that it shares.

NUMBER is that of the open file.
"""

import socket
import sys

from app.heartbeat import beat_for_parent


def main() -> None:
    beat_for_parent()  # whoever listens must not take the imports below for a sleep
    from app.answering import answer, make_server
    from app.logs import set_up_logging
    from app.settings import Settings

    settings = Settings()
    set_up_logging(settings.log_format, settings.log_level)
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        answer(make_server(settings), listener)


if __name__ == "__main__":
    main()
