"""The records on disk: written whole, sealed, content-addressed."""
