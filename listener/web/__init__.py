"""The web door: dashboard, DICOMweb, API, health and metrics."""
