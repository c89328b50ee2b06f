"""What a method is worth at labelled sites."""
