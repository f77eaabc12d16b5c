"""Runs that are killed, stopped or starved at chosen points, gone on with, and compared with one that was not."""
