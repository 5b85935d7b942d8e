"""Seeded faults on the real thing: `python -m tests.proof.chaos --seed 7 --items 1000`.

A campaign drives a batch through two workers with the official client, while processes and servers
are killed, frozen and wiped. Its oracle compares the rows in SQL and what the client read with the
model server's own record of every call that it got. Another one kills workers of agents, always
the one at work, and compares the steps with the effects that its tools had.
"""
