"""Records to text. Must not run anything: it is given records and prints them."""
