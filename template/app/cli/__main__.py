"""`python -m app.cli`, for where the `app` script is not on the path."""

from app.cli import main

if __name__ == "__main__":
    main()
