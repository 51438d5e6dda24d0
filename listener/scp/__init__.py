"""The doors in: peers call us (Service Class Provider)."""
