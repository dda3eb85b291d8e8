"""Ground that every room stands on. It knows none of them."""
