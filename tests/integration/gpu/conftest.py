"""Collected only where `scripts/test-gpu` asks for it: no machine of the continuous integration has a GPU."""

import os

collect_ignore_glob = [] if os.environ.get("OVERREAD_TEST_GPU") else ["test_*.py"]
