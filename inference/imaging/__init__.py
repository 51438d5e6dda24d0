"""Instances into volumes with their geometry in patient coordinates."""
