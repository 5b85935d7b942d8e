"""How many calls a provider gets at once: distributed semaphore, admission queue, rates."""
