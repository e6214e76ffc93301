"""Who acts: metrics, logs, usage records."""
