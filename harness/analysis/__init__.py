"""What people do with a study: look at it, reproduce it."""
