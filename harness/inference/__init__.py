"""What people do with trained models outside of a study."""
