"""The process that opens images and runs models, and the side of the worker that starts, asks and replaces it."""
