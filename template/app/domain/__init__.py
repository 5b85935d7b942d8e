"""NO ZONE: runs the same anywhere; knows neither HTTP nor the queue."""
