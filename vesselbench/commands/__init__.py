"""The commands that are not in `cli`: arguments in, exit codes out; each imports what is heavy when it is called."""
