"""Choosing trials and stopping them."""
