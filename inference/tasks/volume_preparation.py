"""A volume as a network of volumes takes it."""

from inference.algorithms.segmentation_manifest import Preprocessing
from inference.algorithms.tensor import Tensor
from inference.imaging.intensity import scale_intensity
from inference.imaging.resampling import GridMap, to_network_grid
from inference.imaging.volume import Volume
from inference.monitoring.job_watch import JobWatch
from storage.domain.job_statistics import Seen, Stage


def prepared_volume(volume: Volume, preprocessing: Preprocessing, watch: JobWatch) -> tuple[Tensor, GridMap]:
    """The network's input, three axes, and how its grid lies on that of the volume; ``watch`` sees it.

    Raises:
        UnusableInput: the volume shows nothing.
    """
    with watch.stage(Stage.PREPROCESS):
        resampled, mapping = to_network_grid(volume, preprocessing)
        prepared = scale_intensity(resampled, preprocessing.intensity_for(volume.modality))
        if preprocessing.fill is not None:
            mapping.fill_outside(prepared, preprocessing.fill)
        watch.saw(Seen.PREPARED, prepared)
    return prepared, mapping
