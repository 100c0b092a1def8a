"""What a verb of the command line fails with."""


class CommandFailed(Exception):
    """A verb failed; `text` is for the log and for people, `code` the exit status of the command."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
