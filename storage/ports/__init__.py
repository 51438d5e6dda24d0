"""What other rooms may ask of storage; `storage.postgres` and `storage.objects` answer."""
