"""The one training harness: engine, loop, schedule, checkpoints, telemetry, trackers."""
