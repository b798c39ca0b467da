"""What carries alarms and camera states out: files, webhooks, MQTT, metrics, the page."""
