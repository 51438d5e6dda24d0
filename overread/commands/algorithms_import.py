"""`overread algorithms import`: what another framework leaves behind, as a folder for `overread algorithms add`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from overread.only_writer import only_writer
from training.extra import require_extra

if TYPE_CHECKING:
    from inference.algorithms.folder import VerifiedAlgorithm

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = click.Path(path_type=Path)
_TOLD = (
    ("--name", "What it is called [default: as its files say]."),
    ("--version", "The version [default: as its files say]."),
    ("--manufacturer", "Who made it [default: as its files say]."),
    ("--licence", "The licence of the weights [default: as its files say]."),
    ("--intended-use", "What it is for [default: as its files say]."),
    ("--modality", "The modality that it takes, such as CT [default: as its files say]."),
)


def _told(command: Callable[..., None]) -> Callable[..., None]:
    for option, words in reversed(_TOLD):
        command = click.option(option, default="", help=words)(command)
    return command


@click.group("import")
def import_group() -> None:
    """Convert networks of other frameworks to algorithm folders, each with a golden pair of the original.

    Weights are opened as plain tensors and configurations as data; what a manifest cannot express is refused.
    """


@import_group.command("monai-bundle")
@click.argument("bundle", type=_FOLDER)
@click.argument("folder", metavar="OUT_FOLDER", type=_OUT)
@_told
def monai_bundle(bundle: Path, folder: Path, **told: Any) -> None:  # noqa: ANN401 - the options above
    """Convert the MONAI bundle in the folder BUNDLE: configs/*.json and models/model.pt."""
    require_extra()
    from training.conversion.description import Told
    from training.conversion.monai_bundle import import_bundle

    with only_writer(folder):
        _say(folder, import_bundle(bundle, folder, Told(**told)))


@import_group.command("nnunet")
@click.argument("export", type=_FOLDER)
@click.argument("folder", metavar="OUT_FOLDER", type=_OUT)
@click.option("--configuration", default="3d_fullres", show_default=True, help="Of the plans.")
@click.option("--orientation", default="SPL", show_default=True, help="How the training images were stored.")
@click.option("--mirror/--no-mirror", default=True, help="Predict mirrored too, as nnU-Net does; eight times the time.")
@_told
def nnunet(
    export: Path,
    folder: Path,
    configuration: str,
    orientation: str,
    mirror: bool,
    **told: Any,  # noqa: ANN401
) -> None:
    """Convert an nnU-Net v2 export: plans.json, dataset.json, and the network as model.onnx."""
    require_extra()
    from training.conversion.description import Told
    from training.conversion.nnunet import import_export

    axes = None if mirror else ()
    with only_writer(folder):
        _say(folder, import_export(export, folder, Told(**told), configuration, orientation, axes))


@import_group.command("torch")
@click.argument("checkpoint", type=_FILE)
@click.argument("folder", metavar="OUT_FOLDER", type=_OUT)
@click.option("--manifest", type=_FILE, required=True, help="algorithm.yaml without artifact, with architecture.")
def torch_checkpoint(checkpoint: Path, folder: Path, manifest: Path) -> None:
    """Convert a plain state dict of a network that MONAI has."""
    require_extra()
    from training.conversion.torch_checkpoint import import_checkpoint

    with only_writer(folder):
        _say(folder, import_checkpoint(checkpoint, manifest, folder))


def _say(folder: Path, written: "VerifiedAlgorithm") -> None:
    click.echo(f"{folder} holds {written.manifest.title}; SHA-256 {written.artifact_sha256}.")
    click.echo(f"Read and complete {folder / 'card.md'}, then `overread algorithms add {folder}` puts it to work.")
