"""Other systems than a PACS that are told of results: each is off until it is configured."""
