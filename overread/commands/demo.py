"""`overread demo`: a real study goes there and back on this machine."""

from pathlib import Path

import click

from overread.errors import DemoFailed


@click.command()
@click.option("--once", is_flag=True, help="End after the first study instead of waiting for more.")
@click.option("--pacs", metavar="AE@HOST:PORT", help="Send the results to this PACS instead of the demo's own.")
@click.option("--viewer", is_flag=True, help="Serve the OHIF viewer beside the dashboard; needs npm the first time.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("overread-demo"),
    show_default=True,
    help="Where the report and the pictures go.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where database, images and packages are kept for the next time [default: a folder of the account's].",
)
def demo(once: bool, pacs: str | None, viewer: bool, output: Path, data: Path | None) -> None:
    """Push a real head through the whole product and show what comes back."""
    from overread.demo.run import run_demo

    run_demo(output=output, once=once, pacs=_parsed(pacs) if pacs else None, data_dir=data, viewer=viewer)


def _parsed(pacs: str) -> tuple[str, str, int]:
    title, at, address = pacs.partition("@")
    host, colon, port = address.rpartition(":")
    if not (title and at and host and colon and port.isdigit() and len(title) <= 16):
        raise DemoFailed(f"--pacs {pacs} is not of the form AE@host:port, such as ORTHANC@127.0.0.1:4242; correct it.")
    return title, host, int(port)
