"""The one scheduler: leases go to workers, whose rows become one published file a lease."""
