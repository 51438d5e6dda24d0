"""From a run to the folder that `overread algorithms add` takes."""
