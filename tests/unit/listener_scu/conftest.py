"""The peers of these tests."""

from tests.peers.plugin import *  # noqa: F403
