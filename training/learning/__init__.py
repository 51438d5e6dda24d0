"""The network, its augmentation, and the loop that fits it."""
