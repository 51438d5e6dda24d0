"""Manifests, artifacts and the engine that runs them."""
