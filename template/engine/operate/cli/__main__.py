"""`python -m engine.operate.cli`, for where the `app` script is not on the path."""

from engine.operate.cli import main

if __name__ == "__main__":
    main()
