"""What is known of watched sites from run to run: one file with verdicts, masks, objects and alerts."""
