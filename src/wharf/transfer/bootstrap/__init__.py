"""Base images from a distribution's package archive, without an image registry."""
