"""The errors that reach a user: one clear sentence each, and the exit code of the command that met it."""


class MiniganError(Exception):
    """Base of every error that a command reports as one sentence instead of a traceback."""

    exit_code = 1


class InputError(MiniganError):
    """Something the user gave (a flag, a file, a directory) cannot be used; nothing was written."""

    exit_code = 2


class DivergenceError(MiniganError):
    """Training produced a non-finite number; the last good checkpoint is kept."""

    exit_code = 3


class OutputError(MiniganError):
    """Training had begun and a file could not be written; what was saved before is intact."""

    exit_code = 4
