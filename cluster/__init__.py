"""Engines that encode on clusters; the only package that imports Ray."""
