"""The API for those without a PACS: files in, findings out."""
