"""Remembers: the words the rooms share, the job queue, the files and the audit trail."""
