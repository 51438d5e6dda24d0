"""The dashboard: pages made on the server, one file per page."""
