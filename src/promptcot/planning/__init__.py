"""What a recipe will cost before anything runs: tokens, requests and device hours, with ranges."""
