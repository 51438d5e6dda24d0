"""The front desk: the `overread` command, the demo, and all roles on one machine."""
