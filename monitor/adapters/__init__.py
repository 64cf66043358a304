"""What talks to the world: network, database, systemd. No policy."""
