"""What each command does: ``service`` acts, ``queries`` show, ``verbs`` decide for the daemon."""
