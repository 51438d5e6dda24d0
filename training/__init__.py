"""Datasets, training, evaluation and export: makes what inference runs, and nothing imports it but the front desk."""
