"""The `overread` command: finds the sub-command, loads only what it needs, turns errors into a sentence."""

import errno
import importlib
import logging
import sys
import threading
import traceback
from typing import NoReturn

import click

from inference.errors import InferenceError
from listener.errors import ListenerError
from overread.errors import FrontDeskError
from storage.errors import DatabaseUnavailable, StorageError
from training.errors import TrainingError

_KNOWN_ERRORS = (FrontDeskError, ListenerError, InferenceError, StorageError, TrainingError)
_INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
TEMPORARY_FAILURE = 75  # EX_TEMPFAIL: the database is away, and the same command may succeed later

# Command → where it lives. Nothing of it is imported before it is called: `overread listen` must not load a model
# runtime, and `overread --help` must answer at once.
COMMANDS: dict[str, str] = {
    "demo": "overread.commands.demo:demo",
    "up": "overread.commands.roles:up",
    "listen": "overread.commands.roles:listen",
    "web": "overread.commands.roles:web",
    "work": "overread.commands.roles:work",
    "deliver": "overread.commands.roles:deliver",
    "housekeep": "overread.commands.roles:housekeep",
    "health": "overread.commands.health:health",
    "status": "overread.commands.status:status",
    "explain": "overread.commands.explain:explain",
    "jobs": "overread.commands.jobs:jobs",
    "deliveries": "overread.commands.deliveries:deliveries",
    "workitems": "overread.commands.workitems:workitems",
    "notifications": "overread.commands.notifications:notifications",
    "destinations": "overread.commands.destinations:destinations",
    "cohort": "overread.commands.cohort:cohort",
    "fetch": "overread.commands.fetch:fetch",
    "algorithms": "overread.commands.algorithms:algorithms",
    "monitor": "overread.commands.monitor:monitor",
    "feedback": "overread.commands.feedback:feedback",
    "audit": "overread.commands.audit:audit",
    "dataset": "overread.commands.dataset:dataset",
    "users": "overread.commands.users:users",
    "train": "overread.commands.training:train",
    "evaluate": "overread.commands.training:evaluate",
    "export": "overread.commands.training:export",
    "config": "overread.commands.config:config",
    "torture": "overread.commands.torture:torture",
    "db": "overread.commands.database:db",
}

# Module that only an extra brings → the extra; a small installation has none of them.
EXTRAS: dict[str, str] = {
    **dict.fromkeys(("cv2", "google", "highdicom", "numpy", "onnx", "onnxruntime", "scipy", "yaml"), "cpu"),
    **dict.fromkeys(("h5py", "matplotlib", "monai", "onnxscript", "pandas", "sklearn", "torch"), "train"),
    "nibabel": "demo",
    "pyarrow": "cohort",
}


LEAVING = threading.Event()  # set by a role that was told to stop while it had nothing to finish


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return the command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="overread")
@click.option("--traceback", "show_traceback", is_flag=True, help="Show where an unexpected error came from.")
@click.pass_context
def overread(ctx: click.Context, show_traceback: bool) -> None:
    """Receive studies, run algorithms, put the findings back into the PACS. Research use only."""
    ctx.obj = show_traceback


def main() -> None:
    """Run the command line and exit: 0 only when the command did what it says."""
    try:
        sys.exit(overread.main(standalone_mode=False))  # click gives the status of an Exit back; commands give nothing
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except _KNOWN_ERRORS as error:
        _tell(str(error))
        sys.exit(TEMPORARY_FAILURE if isinstance(error, DatabaseUnavailable) else 1)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            _report(error)
        click.echo(
            f"overread: This command needs {error.name}, which this installation lacks; install overread[{extra}]"
            f"{', or overread[gpu] where there is a GPU' if extra == 'cpu' else ''}.",
            err=True,
        )
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        sys.stderr.close()
        sys.exit(141)
    except PermissionError as error:
        if error.filename is None:
            _report(error)
        _tell(f"This account may not use {error.filename}; run the command as the account that runs Overread.")
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            _report(error)
        _tell(f"A file could not be written ({error.strerror}); free space on the disk.")
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last boundary: an operator gets a sentence, not a stack
        if LEAVING.is_set():  # a stop in the middle of loading a library comes out as that library's ImportError
            sys.exit(0)
        _report(error)


def _report(error: Exception) -> NoReturn:
    """Say that this is a fault of ours, without its text, which may repeat anything; then exit."""
    if "--traceback" in sys.argv:
        traceback.print_exception(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    _tell(
        f"Unexpected {type(error).__name__} in {place.name} ({place.lineno}); run it again as "
        "`overread --traceback …` and report what it prints."
    )
    sys.exit(_INTERNAL_ERROR)


def _tell(sentence: str) -> None:
    """On standard error; as a record where a collector reads JSON lines."""
    if logging.getLogger().handlers:  # so `overread.logs` is loaded
        from overread.logs import one_line, writes_json

        sentence = one_line(sentence)
        if writes_json():
            logging.getLogger("overread").error("%s", sentence)
            return
    click.echo(f"overread: {sentence}", err=True)
