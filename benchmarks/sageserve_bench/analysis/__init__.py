"""What rows come to: service against targets, statistics, and the verdict in words."""
