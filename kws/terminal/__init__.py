"""What the commands share: their options, and how they show what happens."""
