"""A voice-agent server for ESP32 devices that remembers."""
