"""Benchmarks: they print figures and never decide a test."""
