"""One agent reads what another one heard of the same person: granted, revoked, written down."""
