"""A prebuilt OHIF viewer beside the dashboard, over our own DICOMweb."""
