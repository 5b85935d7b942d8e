"""How the process is: event loop watchdog, saturation, metrics, logs."""
