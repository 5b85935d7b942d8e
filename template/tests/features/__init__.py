"""Tests of your features. Updates never touch this folder."""
