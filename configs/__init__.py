"""The recipes that come with vesselbench (installed as the package ``vesselbench_configs``)."""
