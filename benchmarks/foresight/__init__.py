"""``make foresight``: how soon episodes are found, and with how many polls."""
