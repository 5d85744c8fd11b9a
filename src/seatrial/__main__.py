"""`python -m seatrial` is `seatrial`."""

from seatrial.cli.main import app

if __name__ == "__main__":
    app()
