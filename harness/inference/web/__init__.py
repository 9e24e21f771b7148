"""A model behind a page and a JSON endpoint on this machine, for one's own images; not for the open network."""
