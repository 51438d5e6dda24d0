"""The demonstration: a real head, a real network of weights, a small PACS."""
