"""What networks are given and give."""

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]
