"""What DataFlex costs, each measure against an independent reference in the same process: ``python -m benchmarks``."""
