"""`python -m tests.proof.chaos`: run campaigns and end with 1 where one of them was violated."""

import argparse
import sys

from tests.proof.chaos import agent_campaign, campaign


def main() -> None:
    """Run the campaigns that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, from the first on")
    parser.add_argument("--items", type=int, default=1000, help="items of the first batch")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--kills", type=int, default=12, help="workers of agents that are killed")
    parser.add_argument("--campaign", choices=["batches", "agents"], action="append")
    given = parser.parse_args()
    wanted = given.campaign or ["batches", "agents"]
    violations: list[str] = []
    for seed in range(given.seed, given.seed + given.seeds):
        for database in given.database or ["sqlite", "postgresql"]:
            if "batches" in wanted:
                violations += campaign.run(seed, given.items, database)
            if "agents" in wanted:
                violations += agent_campaign.run(seed, given.kills, database)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
