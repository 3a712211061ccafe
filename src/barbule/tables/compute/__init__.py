"""Values of columns: computed, stored or virtual, and what a column requires of them."""
