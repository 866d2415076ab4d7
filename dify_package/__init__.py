"""Makes the Dify plugin's package, signs it, and says whether the daemon and the marketplace would take it."""
