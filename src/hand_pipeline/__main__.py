"""`python -m hand_pipeline COMMAND`."""

from hand_pipeline.commands.main import main

if __name__ == "__main__":
    main()
